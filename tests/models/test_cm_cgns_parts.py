"""Every part of CM-CGNS computes in its published form what the authors' program computes."""

import random

import pytest
import torch
from torch.nn import functional

import medbench
from medbench.core.errors import MedbenchError
from medbench.models.cm_cgns import alignment_losses
from medbench.models.cm_cgns.detection_loss import detection_loss
from medbench.models.cm_cgns.detections import decode_maps, suppress
from medbench.models.cm_cgns.detector import padded_targets
from medbench.models.cm_cgns.image_decoder import reconstruction_loss
from medbench.models.cm_cgns.mixed_loss import focal_loss, soft_dice
from medbench.models.cm_cgns.text_encoder import gather_sentences
from medbench.training.losses import segmentation_loss

EXACT = 1e-9
SINGLE = 3e-6  # what the authors' program stored in float32


def authors_state(facts, fill, key="state_dict"):
    shapes = {entry["key"]: entry["shape"] for entry in facts[key]}
    state = fill(shapes, [key for key in shapes if key.endswith("num_batches_tracked")])
    return {
        **state,
        **{key: torch.zeros(shape) for key, shape in shapes.items() if key == "kc.centroid"},
    }


def part(name, facts, fill, **options):
    """A part with the authors' weights, in float64 and in evaluation mode."""
    network = medbench.create_model(name, **options)
    state = medbench.official_state_dict(name, authors_state(facts, fill), **options)
    network.load_state_dict(state)
    return network.double().eval()


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def clusters(generator, count, centres, noise):
    centre = torch.randn(centres, 768, generator=generator)
    label = torch.randint(0, centres, (count,), generator=generator)
    return centre[label] + noise * torch.randn(count, 768, generator=generator)


@pytest.mark.slow
def test_image_encoder(golden, fill, relative_error):
    facts, arrays = golden("cmcgns_image_encoder")
    network = part("cm_cgns.image_encoder", facts, fill, form="published")
    with torch.inference_mode():
        whole, local = network(drawn(1, 3, 224, 224))
    assert relative_error(whole, arrays["global64"]) < EXACT
    assert relative_error(local.sum()[None], arrays["local64_sum"]) < EXACT
    assert relative_error(local[..., ::8], arrays["local_feat"]) < SINGLE


@pytest.mark.slow
def test_vision_transformer(golden, fill, relative_error):
    facts, arrays = golden("cmcgns_vit_base")
    network = part("cm_cgns.vit_base", facts, fill)
    with torch.inference_mode():
        whole, local = network(drawn(1, 3, 224, 224))
    assert relative_error(whole, arrays["cls64"]) < EXACT
    assert relative_error(local[:, :20], arrays["patches_head"]) < SINGLE
    assert relative_error(local.mean(dim=1), arrays["patches_mean"]) < SINGLE


@pytest.mark.slow
def test_text_encoder(golden, fill, relative_error):
    facts, arrays = golden("cmcgns_bert")
    network = part("cm_cgns.text_encoder", facts, fill, vocabulary_size=512, depth=2, max_tokens=64)
    ids, present = (torch.from_numpy(arrays[name]) for name in ("input_ids", "attention_mask"))
    with torch.inference_mode():
        vectors = network(ids, present)
        pooled = network.encoder.pooler(vectors)
    assert relative_error(pooled, arrays["pooler64"]) < EXACT
    assert relative_error(vectors, arrays["last_hidden"]) < SINGLE


def test_sentences_and_their_pool(golden, fill, relative_error):
    facts, arrays = golden("cmcgns_text_pool")
    tokens = drawn(3, 40, 768)
    index = torch.from_numpy(arrays["sentence_index"])
    for how, name in (("mean", "avg"), ("max", "max"), ("min", "min")):
        sentences, present = gather_sentences(tokens, index, how=how)
        assert relative_error(sentences[present], arrays[name]) < SINGLE
        assert not sentences[~present].any()
    sentences, present = gather_sentences(tokens, index)
    pool = part("cm_cgns.sentence_pool", facts, fill)
    with torch.inference_mode():
        sentences[present] = torch.from_numpy(arrays["avg"]).double()
        whole = pool(sentences, present)
    assert relative_error(whole, arrays["global_text64"]) < EXACT


def test_cross_attention(golden, fill, relative_error):
    facts, arrays = golden("cmcgns_cross_attention")
    network = part("cm_cgns.cross_attention", facts, fill)
    generator = torch.Generator().manual_seed(0)
    image, text = (
        (functional.normalize(torch.randn(n, 768, generator=generator), dim=-1) * 4).double() for n in (49, 7)
    )
    with torch.inference_mode():
        plain = network(image[None], text[None])
        padded = torch.cat([text, torch.ones(2, 768)])[None]
        masked = network(image[None], padded, torch.tensor([[True] * 7 + [False] * 2]))
    assert relative_error(plain.text_to_image[0], arrays["text_to_image64"]) < EXACT
    assert relative_error(plain.image_to_text[0], arrays["image_to_text64"]) < EXACT
    assert relative_error(plain.image_shares[0], arrays["probs_image_text"]) < SINGLE
    assert relative_error(plain.text_shares[0], arrays["probs_text_image"]) < SINGLE
    assert relative_error(masked.text_to_image, plain.text_to_image) < EXACT
    assert relative_error(masked.image_to_text[:, :7], plain.image_to_text) < EXACT


def test_clusters_and_the_sentences_loss(golden, relative_error, monkeypatch):
    facts, arrays = golden("cmcgns_kmeans_loss")
    network = medbench.create_model("cm_cgns.clusters", num_clusters=facts["k"]).double()
    loss = alignment_losses.SentenceLoss("published")
    generator = torch.Generator().manual_seed(0)
    draw = random.Random(0)
    rows = []
    initialise = type(network).initialise
    monkeypatch.setattr(
        type(network), "initialise", lambda self, *given: rows.append(initialise(self, *given)) or rows[0]
    )
    batches = []
    for step in range(facts["steps"]):
        first = clusters(generator, facts["N"], 12, 0.5)
        second = 0.6 * first + 0.8 * torch.randn(facts["N"], 768, generator=generator)
        if step == 0:
            before = clusters(generator, facts["N"], 1, 0.2)
            batches.append(("pre", before, before + 0.1))
        batches.append((step, first, second))
    for (step, first, second), log in zip(batches, facts["log_fp64"], strict=True):
        first, second = (functional.normalize(vectors.double(), dim=1) for vectors in (first, second))
        value = loss(network, first, second, draw.randrange)
        assert float(value) == pytest.approx(log["loss"], rel=EXACT)
        assert network.initialised == log["initialized"]
        if step == "pre":
            continue
        assert relative_error(network.centroid.norm(dim=1), arrays[f"f64_s{step}_centroid_norm"]) < EXACT
        assert relative_error(network.centroid[:, :6], arrays[f"f64_s{step}_centroid_head"]) < EXACT
        if step:
            nearest = network.nearest(first)
            assert nearest[:, 0].tolist() == arrays[f"s{step}_assign"].tolist()
            assert nearest[:, 1].tolist() == arrays[f"s{step}_hard_idx"].tolist()
    assert rows[0].tolist() == arrays["init_rows"].tolist()


def test_alignment(golden, fill, relative_error):
    facts, arrays = golden("cmcgns_alignment")
    n_images = facts["B"]
    network = part("cm_cgns.alignment", facts, fill, form="published", num_clusters=facts["k"]).train()
    network.draw_first = random.Random(0).randrange
    generator = torch.Generator().manual_seed(0)
    for step, log in enumerate(facts["log_fp64"]):
        places = clusters(generator, n_images * 49, 10, 0.7).view(n_images, 49, 768)
        counts = torch.randint(2, 9, (n_images,), generator=generator)
        assert counts.tolist() == log["n_sent"]
        rows = clusters(generator, int(counts.sum()), 10, 0.7)
        images = torch.randn(n_images, 768, generator=generator)
        places, rows, images = (functional.normalize(v, dim=-1).double() for v in (places, rows, images))
        present = torch.arange(int(counts.max())) < counts[:, None]
        sentences = torch.zeros(*present.shape, 768, dtype=torch.float64)
        sentences[present] = rows
        with torch.inference_mode():
            aligned = network(images, places, sentences, present)
            hits = [100 * float(alignment_losses.hit_share(images, aligned.reports, n)) for n in (1, 5)]
        assert float(aligned.image) == pytest.approx(log["local_image"], rel=EXACT)
        assert float(aligned.text) == pytest.approx(log["local_text"], rel=EXACT)
        assert float(aligned.whole) == pytest.approx(log["global_"], rel=EXACT)
        total = float(aligned.image + aligned.text + aligned.whole)
        assert total == pytest.approx(log["total"], rel=EXACT)
        assert hits == pytest.approx([log["i2t_acc1"], log["i2t_acc5"]])
        assert relative_error(aligned.reports, arrays[f"s{step}_global_text"]) < SINGLE
        assert relative_error(aligned.text_to_image[:2, :4], arrays[f"s{step}_t2i_head"]) < SINGLE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "golden_name", "places", "mask_shape"),
    [
        ("cm_cgns.image_decoder", "cmcgns_image_decoder_resnet_50", 49, (2, 768, 1, 1)),
        ("cm_cgns.image_decoder_vit", "cmcgns_image_decoder_vit_base", 196, (2, 196, 1)),
    ],
)
def test_image_decoder(name, golden_name, places, mask_shape, golden, fill, relative_error):
    facts, arrays = golden(golden_name)
    network = part(name, facts, fill, form="published")
    generator = torch.Generator().manual_seed(0)
    local = functional.normalize(torch.randn(2, places, 768, generator=generator), dim=-1) * 8
    text = torch.randn(2, places, 768, generator=generator)
    images = torch.rand(2, 3, 224, 224, generator=generator) * 2 - 1
    mask = torch.rand(mask_shape, generator=generator) < 0.5
    with torch.inference_mode():
        output = network(local.double(), text.double(), mask.view(network.mask_shape(2, 768)))
        loss = reconstruction_loss(output, images.double())
    assert float(loss) == pytest.approx(float(arrays["loss64"]), rel=EXACT)
    assert relative_error(output[..., ::4, ::4], arrays["out_ds4"]) < SINGLE


@pytest.mark.slow
def test_detector(golden, fill, relative_error):
    facts, arrays = golden("cmcgns_yolo")
    network = part("cm_cgns.yolo", facts, fill)
    with torch.inference_mode():
        maps = network.maps(drawn(2, 3, 224, 224))
        boxes = decode_maps(maps, network.anchors, 224)
        losses = detection_loss(maps, torch.from_numpy(arrays["targets"]), network.anchors, 224)
    for number, answers in enumerate(maps):
        assert relative_error(answers, arrays[f"out{number}"]) < SINGLE
        assert relative_error(torch.tensor(network.anchors[number]), arrays["anchors"][number]) < 1e-7
        ours = torch.stack(list(losses[number]))
        theirs = torch.tensor(facts["losses_per_scale"][number])
        torch.testing.assert_close(ours, theirs.double(), rtol=1e-5, atol=1e-8)
    assert relative_error(boxes, arrays["decoded"]) < 2e-6
    due = torch.from_numpy(arrays["targets"]).double()
    given = []
    for rows in due:
        rows = rows[rows.sum(dim=1) != 0]
        corners = torch.cat([rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2], dim=1) * 224
        given.append({"boxes": corners, "labels": rows[:, 0].long() + 1})
    padded = padded_targets(given, 224)
    torch.testing.assert_close(padded, due[:, : padded.shape[1]], rtol=0, atol=1e-12)
    network.maps, network.training = (
        lambda images: maps,
        True,
    )  # the golden maps, whatever the batch norm does
    trained = network(drawn(2, 3, 224, 224), given)
    total = sum(head[0] for head in facts["losses_per_scale"])
    torch.testing.assert_close(sum(trained.values()), torch.tensor(total).double(), rtol=1e-5, atol=1e-8)


def test_suppression(golden):
    _, arrays = golden("cmcgns_yolo")
    detections = suppress(torch.from_numpy(arrays["nms_in"]).double(), 0.5, 0.5)
    for number, ours in enumerate(detections):
        theirs = torch.from_numpy(arrays[f"nms_only{number}"]).double()
        assert len(ours["scores"]) == len(theirs)
        torch.testing.assert_close(ours["boxes"], theirs[:, :4], rtol=1e-6, atol=1e-4)
        torch.testing.assert_close(ours["scores"], theirs[:, 4], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(ours["class_shares"], theirs[:, 5], rtol=1e-6, atol=1e-6)


def test_mixed_loss_dice_and_classifier(golden, fill):
    facts, arrays = golden("cmcgns_seg_metrics")
    logits, labels = (torch.from_numpy(arrays[name]).double() for name in ("logits", "target"))
    assert float(medbench.create_model("cm_cgns.mixed_loss")(logits, labels)) == pytest.approx(
        facts["mixed_loss"], rel=1e-6
    )
    assert float(focal_loss(logits, labels)) == pytest.approx(facts["focal"], rel=1e-6)
    assert float(soft_dice(logits, labels)) == pytest.approx(facts["soft_dice_coefficient"], rel=1e-6)
    pair = torch.stack([torch.zeros_like(logits), logits], dim=1).flatten(2, -2)
    trained = segmentation_loss("focal_log_dice", 2)(pair, labels.flatten(1, -2))
    assert float(trained) == pytest.approx(facts["mixed_loss"], rel=1e-5)
    with pytest.raises(MedbenchError, match="one structure"):
        segmentation_loss("focal_log_dice", 3)
    for image, reference, due in zip(logits, labels, facts["dice_per_sample"], strict=True):
        prediction = (image.sigmoid() > 0.5).numpy().astype("uint8")
        score = medbench.score("dice", reference.numpy().astype("uint8"), prediction)
        value = score.value if reference.any() or prediction.any() else 1.0
        assert value == pytest.approx(due, abs=1e-6)
    head = medbench.create_model("cm_cgns.linear_head", width=64)
    head.load_state_dict(
        medbench.official_state_dict(
            "cm_cgns.linear_head", authors_state(facts, fill, "classifier_state_dict"), width=64
        )
    )
    ours = head(torch.from_numpy(arrays["cls_feats"]))
    torch.testing.assert_close(ours, torch.from_numpy(arrays["cls_logits"]), rtol=1e-6, atol=1e-6)


def random_pairs(n_pairs=6, seed=0):
    """Sentences and their counterparts in three groups, and clusters that know the groups."""
    generator = torch.Generator().manual_seed(seed)
    centres = functional.normalize(torch.randn(3, 16, generator=generator), dim=1)
    group = torch.arange(n_pairs) % 3
    vectors = [
        functional.normalize(centres[group] + 0.1 * torch.randn(n_pairs, 16, generator=generator), dim=1)
        for _ in range(2)
    ]
    network = medbench.create_model("cm_cgns.clusters", num_clusters=3, width=16)
    network.centroid.copy_(centres)
    return network, group, *vectors


def test_false_negatives_leave_the_denominator_and_hard_ones_weigh_more():
    network, group, sentences, seen = random_pairs()
    likeness = sentences @ seen.T
    nearest = network.nearest(sentences)
    assert nearest[:, 0].tolist() == group.tolist()
    due = []
    for row in range(6):
        others = [float(likeness[row, k]) for k in range(6) if k == row or group[k] != group[row]]
        hard = float(sentences[row] @ functional.normalize(network.centroid, dim=1)[nearest[row, 1]])
        columns = torch.tensor([*others, 3 * hard])
        due.append(float(columns.logsumexp(0) - likeness[row, row]))
    loss = alignment_losses.SentenceLoss()
    hardness = 3 * (sentences * functional.normalize(network.centroid, dim=1)[nearest[:, 1]]).sum(1)
    false = (group[:, None] == group).fill_diagonal_(False)
    assert float(loss.entropy(likeness, hardness, false)) == pytest.approx(sum(due) / 6, rel=1e-6)

    likeness.requires_grad_(True)
    loss.entropy(likeness, hardness.requires_grad_(True), false).backward()
    assert not likeness.grad[false].any(), "a false negative is pushed away"
    assert (likeness.grad[~false & ~torch.eye(6, dtype=torch.bool)] > 0).all()
    at_one = torch.zeros(6, 6)
    equal = torch.autograd.functional.jacobian(
        lambda hard: loss.entropy(at_one, 3 * hard, false), torch.full((6,), 0.5)
    )
    plain = torch.autograd.functional.jacobian(
        lambda others: loss.entropy(others, torch.full((6,), 0.5), false), torch.full((6, 6), 0.5)
    )
    assert float(equal.mean()) > 3 * float(plain[~false & ~torch.eye(6, dtype=torch.bool)].mean())


def test_published_quirks_of_the_losses_and_their_corrections():
    _, _, sentences, seen = random_pairs()
    likeness, hardness = sentences @ seen.T, torch.linspace(0, 1, 6)
    none = torch.zeros(6, 6, dtype=torch.bool)
    published, corrected = (alignment_losses.SentenceLoss(form) for form in ("published", "corrected"))
    square = torch.diag(3 * hardness)
    theirs = functional.cross_entropy(torch.cat([likeness, square], dim=1), torch.arange(6))
    assert float(published.entropy(likeness, 3 * hardness, none)) == pytest.approx(float(theirs), rel=1e-6)
    assert float(corrected.entropy(likeness, 3 * hardness, none)) < float(theirs), "L2: the zeros are gone"
    assert float(published.margin(likeness, none)) == pytest.approx(0.2), "L3: a constant"
    assert float(corrected.margin(likeness, none)) == 0.0


def test_local_features_are_places_unless_published():
    torch.manual_seed(0)
    options = {"widths": [4, 4, 4, 8], "depths": [1, 1, 1, 1], "image_size": 64}
    ours = medbench.create_model("cm_cgns.image_encoder", **options).eval()
    theirs = medbench.create_model("cm_cgns.image_encoder", form="published", **options).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 64, 64)
    maps = ours.backbone.forward_features(images)
    (whole, places), (other, viewed) = ours(images), theirs(images)
    assert torch.equal(whole, other)
    assert torch.equal(places[0, 2], maps[0, :, 1, 0]), "a token is a place"
    assert torch.equal(viewed[0, 0], maps.flatten()[:32]), "L1: a token is what lies side by side in memory"


def test_masks_hide_places_and_negative_pixels_can_be_given():
    torch.manual_seed(0)
    ours = medbench.create_model("cm_cgns.image_decoder", width=16, grid=2, widths=[8, 8, 8, 8])
    theirs = medbench.create_model(
        "cm_cgns.image_decoder", width=16, grid=2, widths=[8, 8, 8, 8], form="published"
    )
    theirs.load_state_dict(ours.state_dict())
    assert ours.mask_shape(3, 16) == (3, 4, 1)
    assert theirs.mask_shape(3, 16) == (3, 1, 16), "L4: channels"
    mask = ours.draw_mask(64, 16, 7)
    assert torch.equal(mask, ours.draw_mask(64, 16, 7))
    assert 0.4 < float(mask.float().mean()) < 0.6
    places, text = torch.randn(3, 4, 16), torch.randn(3, 4, 16)
    with torch.no_grad():
        ours.head[-1].bias.fill_(-1)
        theirs.load_state_dict(ours.state_dict())
    assert float(ours(places, text, ours.draw_mask(3, 16, 0)).min()) < 0
    assert float(theirs(places, text, theirs.draw_mask(3, 16, 0)).min()) >= 0, "L5"
    changed = places.clone()
    hidden = ~ours.draw_mask(3, 16, 0)
    changed[hidden.expand_as(changed)] = 9.0
    assert torch.equal(
        ours(places, text, ours.draw_mask(3, 16, 0)), ours(changed, text, ours.draw_mask(3, 16, 0))
    )


def test_the_transformer_of_the_reconstruction_attends_among_places():
    torch.manual_seed(0)
    options = {"width": 16, "grid": 2, "widths": [8, 8, 8]}
    places, text = torch.randn(2, 4, 16), torch.randn(2, 4, 16)
    for form, alike in (("corrected", True), ("published", False)):
        network = medbench.create_model("cm_cgns.image_decoder_vit", form=form, **options).eval()
        mask = torch.ones(2, 4, 1, dtype=torch.bool)
        alone = network(places[:1], text[:1], mask[:1])
        assert torch.allclose(network(places, text, mask)[:1], alone, atol=1e-6) == alike, "L6"


def test_the_whole_network_takes_the_authors_weights():
    with torch.device("meta"):
        network = medbench.create_model("cm_cgns.pretraining")
        decoder = medbench.create_model("cm_cgns.image_decoder_vit").state_dict()
    names = (
        ("image_encoder.backbone.", "image_encoder.model."),
        ("alignment.cross_attention.", "local_cross_attention."),
        ("alignment.sentence_pool.", "global_text_attention."),
        ("alignment.clusters.", "kc."),
        ("alignment.", ""),
    )
    theirs = {}
    for key, tensor in network.state_dict().items():
        if key.startswith("image_decoder.head."):
            _, _, number, rest = key.split(".")
            key = f"image_decoder.output_head.{3 * int(number)}.{rest}"
        for ours, other in names:
            if key.startswith(ours):
                key = other + key.removeprefix(ours)
                break
        theirs[key] = tensor
    for key, tensor in decoder.items():
        if key.startswith("transformer."):
            for layer in range(6):
                theirs[f"image_decoder.transformer_decoder.layers.{layer}.{key[12:]}"] = tensor
    theirs["projector.0.weight"] = torch.zeros(384, 768)
    theirs["global_text_projection.weight"] = torch.zeros(768, 768)
    state = medbench.official_state_dict("cm_cgns.pretraining", theirs)
    assert state.keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cm_cgns.image_encoder", {"image_size": 100}),
        ("cm_cgns.image_encoder", {"encoder": "alexnet"}),
        ("cm_cgns.text_encoder", {"num_heads": 5}),
        ("cm_cgns.alignment", {"guidance": "stars"}),
        ("cm_cgns.alignment", {"num_clusters": 1}),
        ("cm_cgns.image_decoder", {"widths": [8, 8]}),
        ("cm_cgns.yolo", {"confidence": 2.0}),
        ("cm_cgns.pretraining", {"guidance": "none"}),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, assert_refused):
    assert_refused(name, options)
