"""The challenges rsna_pneumonia, rsna_pneumonia_boxes and rsna_pneumonia_masks."""
