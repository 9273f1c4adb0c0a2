import torch

from medbench.models.blocks.image_heads import SegmentationEvidence


def image(structure_logit: float) -> torch.Tensor:
    """Two labels, 16 × 16; the second claims the upper left corner with that logit."""
    logits = torch.zeros(1, 2, 16, 16)
    logits[:, 1] = -4.0
    logits[:, 1, :4, :4] = structure_logit
    return logits


def test_evidence_does_not_depend_on_the_place_or_the_size_of_the_image():
    head = SegmentationEvidence(2, 3)
    clear = image(4.0)
    moved = torch.roll(clear, (5, 7), dims=(2, 3))
    enlarged = clear.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(head(clear), head(moved))
    torch.testing.assert_close(head(clear), head(enlarged))


def test_evidence_learns_to_tell_a_clear_structure_from_a_faint_one():
    torch.manual_seed(0)
    head = SegmentationEvidence(2, 2)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    faint, clear = torch.linspace(-3, 0, 8), torch.linspace(1, 5, 8)
    images = torch.cat([image(float(value)) for value in (*faint, *clear)])
    classes = torch.tensor([0] * 8 + [1] * 8)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(images), classes).backward()
        optimizer.step()
    assert (head(images).argmax(1) == classes).all()


def test_evidence_is_finite_when_a_label_wins_everything_or_nothing():
    logits = torch.zeros(1, 3, 8, 8)
    logits[:, 0] = 300.0
    assert SegmentationEvidence(3, 2)(logits).isfinite().all()
    assert SegmentationEvidence(3, 2).bfloat16()(logits.bfloat16()).isfinite().all()
