"""Shared parts of SumMe and TVSum: videos as sequences of features, their summaries, several annotators.

Sources: Zhang et al., Video summarization with LSTM, ECCV 2016 (protocol, augmented and transfer setting);
the layout of the public ``eccv16_dataset_*_google_pool5.h5``; Otani et al., CVPR 2019 (rank correlation);
FullTransNet (``ziadtarek12/FullTransNet@9ace789``) for the exact steps from scores to summaries.
"""
