"""Heads of an encoder's upper layers: they are the model's own, train as the whole model does, and say what
they cannot do.
"""

import numpy as np
import pytest
import torch
from enc.engine import Fraction, Head, TrainConfig, train_head
from enc.engine.finetune.trainer import freeze, layer_depths
from enc.engine.heads.by_length import computed_by_length, token_counts, trimmed
from enc.engine.heads.making import make_head
from enc.engine.sweep.search import search
from enc.engine.train.begin_encoder import begun_encoder
from enc.engine.train.examples import load_examples
from enc.engine.train.validation import Folds
from enc.store import HeadError, ModelError, SourceError
from enc.store.orders import length_grouped
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification
from upper_layers import states, write_rows

PLAIN = dict(precision="fp32", init="model")
"""Arguments for heads that are compared with the model itself."""


@pytest.fixture
def source(tmp_path):
    return write_rows(tmp_path / "rows.tsv")


@pytest.fixture(scope="module")
def bert(tiny_model):
    """Three layers, without dropout."""
    return tiny_model("bert", num_hidden_layers=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def config(**changes):
    return TrainConfig.of("encoder", **dict(epochs=2, batch_size=8, learning_rate=1e-3) | changes)


@pytest.fixture
def whole():
    """A random BERT of two layers whose embeddings are frozen, and a head of all of its layers."""
    torch.manual_seed(0)
    own = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=3,
    )  # fmt: skip
    model = BertForSequenceClassification(own)
    freeze(model, 0)
    values = own.to_diff_dict() | {"model_type": "bert"}
    head = make_head("encoder", (12, 16), 3, {**PLAIN, "config": values, "first": 0})
    head.head.model.load_state_dict(
        {name: one for name, one in model.state_dict().items() if "embeddings" not in name}
    )
    return model, head


def random_batch():
    """Token ids, their mask, and targets."""
    lengths = torch.randint(1, 13, (5, 1))
    return torch.randint(1, 40, (5, 12)), (torch.arange(12) < lengths).long(), torch.randint(0, 3, (5,))


def losses_of(model, head, batch):
    """Mean loss of a batch by the whole model, and by the head from the model's embeddings."""
    ids, mask, targets = batch
    embedded = model.bert.embeddings(input_ids=ids).detach() * mask.unsqueeze(-1)
    wanted = model(input_ids=ids, attention_mask=mask, labels=targets)
    logits = head(embedded)
    torch.testing.assert_close(logits, wanted.logits, atol=1e-4, rtol=0)
    return wanted.loss, torch.nn.functional.cross_entropy(logits, targets)


def test_all_layers_have_the_gradients_of_the_model_with_frozen_embeddings(whole):
    model, head = whole
    for loss in losses_of(model, head, random_batch()):
        loss.backward()
    theirs = dict(model.named_parameters())
    for name, parameter in head.head.model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-3)


def test_all_layers_have_the_loss_curve_of_the_model_with_frozen_embeddings(whole):
    model, head = whole
    optimizers = [
        torch.optim.AdamW([one for one in network.parameters() if one.requires_grad], 2e-3)
        for network in whole
    ]
    batches, curves = [random_batch() for _ in range(4)], ([], [])
    for step in range(40):
        losses = losses_of(model, head, batches[step % 4])
        for loss, optimizer, curve in zip(losses, optimizers, curves, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(float(loss.detach()))
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)
    assert sum(curves[0][-4:]) < 0.9 * sum(curves[0][:4])


def test_the_loss_curve_is_that_of_fine_tuning_with_the_layers_below_frozen(source, bert, tmp_path):
    table = states(source, tmp_path / "store", bert)
    data = load_examples(source, table, valid=source)
    asked = config(head_args=PLAIN, weight_decay=0.01, learning_rate=2e-2)
    head = train_head(source, table, valid=source, config=asked)
    torch.manual_seed(asked.seed)
    network = begun_encoder(data, asked)  # for its fresh classifier
    model = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=2)
    model.classifier.load_state_dict(network.head.model.classifier.state_dict())
    model.bert.pooler.load_state_dict(network.head.model.bert.pooler.state_dict())
    freeze(model, 1)
    depths = layer_depths(model)
    groups = [
        {
            "params": [one],
            "lr": 0.9 ** (4 - depths[name]),
            "weight_decay": 0.0 if "bias" in name or "Norm" in name else 0.01,
        }
        for name, one in model.named_parameters()
        if one.requires_grad
    ]
    optimizer = torch.optim.AdamW(groups)
    factors = [group["lr"] for group in optimizer.param_groups]
    features, lengths = data.train.features, data.train.token_counts
    step, steps, losses = 0, 2 * 6, []
    for epoch in (1, 2):
        total = 0.0
        for rows in length_grouped(lengths, 8, asked.seed, epoch):
            batch = trimmed(features.take(rows), lengths[rows])
            mask = (batch != 0).any(-1)
            hidden = batch
            for layer in model.bert.encoder.layer[1:]:
                added = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
                hidden = layer(hidden, attention_mask=added[:, None, None])
            logits = model.classifier(model.bert.pooler(hidden))
            loss = torch.nn.functional.cross_entropy(
                logits, torch.from_numpy(data.train.targets[rows]).long()
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([one for one in model.parameters() if one.requires_grad], 1.0)
            rising = int(np.ceil(0.1 * steps))
            rate = (step + 1) / (rising + 1) if step < rising else 1 - (step - rising) / (steps - rising)
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["lr"] = 2e-2 * rate * factor
            optimizer.step()
            step += 1
            total += float(loss.detach()) * len(rows)
        losses.append(total / len(data.train.targets))
    assert [row["train_loss"] for row in head.history] == pytest.approx(losses, abs=2e-5)
    assert losses[1] != pytest.approx(losses[0], abs=1e-3)


def test_it_begins_as_a_linear_probe_and_learns(source, bert, tmp_path):
    table = states(source, tmp_path / "store", bert)
    data = load_examples(source, table, valid=source)
    network = begun_encoder(data, config(head_args=dict(precision="fp32")))
    logits = computed_by_length(network.eval(), data.train.features.take, data.train.token_counts)
    assert (logits.argmax(1).numpy() == data.train.targets).mean() > 0.75
    for pooling in ("cls", "mean"):
        head = train_head(
            source, table, valid=source, config=config(epochs=4, head_args=dict(pooling=pooling))
        )
        assert head.metrics["accuracy"] > 0.75


@pytest.mark.parametrize("task", ["single-label", "multi-label", "regression"])
def test_it_begins_as_a_linear_head_that_was_trained_before(task, source, bert, tmp_path):
    table = states(source, tmp_path / "store", bert)
    rows = dict(label_column={"multi-label": "tags", "regression": "stars"}.get(task, "label"), task=task)
    for pooling, of_head in (("cls", "model"), ("cls", "cls"), ("mean", "mean")):
        pooled = states(source, tmp_path / "store", bert, layers="3", pooling=pooling)
        probe = train_head(source, pooled, valid=source, config=TrainConfig(epochs=3), **rows)
        folder = tmp_path / f"probe-{pooling}-{of_head}"
        probe.save(folder)
        asked = config(head_args=dict(precision="fp32", pooling=of_head), head_init=str(folder))
        data = load_examples(source, table, valid=source, **rows)
        network = begun_encoder(data, asked).eval()
        logits = computed_by_length(network, data.train.features.take, data.train.token_counts)
        vectors = load_examples(source, pooled, valid=source, **rows).train.features.take(np.arange(48))
        wanted = probe.network(torch.from_numpy(vectors).float()).detach()
        torch.testing.assert_close(logits, wanted, atol=2e-2, rtol=2e-2)
    trained = train_head(source, table, valid=source, config=asked, **rows)
    assert trained.record["config"]["head_init"] == str(folder)


def test_a_linear_head_that_does_not_fit_is_refused_by_name(source, bert, tiny_model, tmp_path):
    table = states(source, tmp_path / "store", bert)

    def refused(problem, probe_of=bert, rows=None, args=None, head="linear", **setting):
        pooled = states(
            source, tmp_path / probe_of.parent.name, probe_of, **dict(layers="3", pooling="cls") | setting
        )
        probe = train_head(
            source, pooled, valid=source, config=TrainConfig(epochs=1, head=head), **rows or {}
        )
        probe.save(tmp_path / "probe")
        with pytest.raises(HeadError, match=problem):
            asked = config(head_args=args or {}, head_init=str(tmp_path / "probe"))
            train_head(source, table, valid=source, config=asked)

    refused(r"layers \(2,\), not \(3,\).*--pooling cls --layers 3", layers="2")
    refused(r"pooling \('mean',\), not \('cls',\)", pooling="mean")
    refused(r"layers \(3,\), not \(2,\)", args=dict(layers=1))
    refused("not as 'mlp'", head="mlp")
    refused("labels are .*, the rows' ", rows=dict(label_column="tags", task="multi-label"))
    refused("weights ", probe_of=tiny_model("bert", num_hidden_layers=3, intermediate_size=24))
    with pytest.raises(SourceError, match="for head 'encoder', not for 'mlp'"):
        TrainConfig(head="mlp", head_init="x")
    with pytest.raises(SourceError, match="both say what to begin with"):
        config(head_args=dict(init="model"), head_init="x")


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_other_tasks(task, source, bert, tmp_path):
    table = states(source, tmp_path / "store", bert)
    column = {"multi-label": "tags", "regression": "stars"}[task]
    head = train_head(source, table, valid=source, config=config(epochs=4), label_column=column, task=task)
    assert head.metrics["loss"] < 0.9
    head.save(tmp_path / "head")
    features = load_examples(source, table, valid=source, label_column=column, task=task).train.features
    outputs = head.outputs(features.take(np.arange(8)))
    np.testing.assert_allclose(Head.load(tmp_path / "head").outputs(features.take(np.arange(8))), outputs)


def test_a_saved_head_needs_no_model_and_gives_the_same_in_any_company(source, bert, tmp_path, monkeypatch):
    table = states(source, tmp_path / "store", bert)
    head = train_head(source, table, valid=Fraction(0.3), config=config(head_args=dict(layers=1, **PLAIN)))
    head.save(tmp_path / "head")
    loaded = Head.load(tmp_path / "head")
    assert loaded.arguments["layers"] == 1
    assert loaded.arguments["config"]["num_hidden_layers"] == 2
    features = load_examples(source, table, valid=source).train.features.take(np.arange(20))
    whole = loaded.outputs(features)
    np.testing.assert_allclose(whole, head.outputs(features), atol=1e-6)
    np.testing.assert_allclose(whole[7:9], loaded.outputs(features[7:9]), atol=1e-5)


def test_the_same_seed_gives_the_same_bits(source, bert, tmp_path):
    table = states(source, tmp_path / "store", bert)
    one, other = (train_head(source, table, valid=source, config=config(epochs=1)) for _ in range(2))
    for name, values in one.weights.items():
        np.testing.assert_array_equal(values, other.weights[name])


def test_a_sweep_trains_run_by_run_and_an_ensemble_is_one_head(source, bert, tmp_path):
    table, said = states(source, tmp_path / "store", bert), []
    found = search(
        source,
        table,
        config=config(epochs=1),
        grid={"head_args.layers": [1, 2]},
        valid=Folds(2),
        say=said.append,
    )
    assert any("cannot be stacked (its rows go by their length)" in line for line in said)
    assert len(found.tables["sweep"]) == 4
    kept = search(source, table, config=config(epochs=1), grid={}, seeds=2, ensemble=True, valid=source).head
    kept.save(tmp_path / "head")
    assert Head.load(tmp_path / "head").members == 2


@pytest.mark.parametrize(
    ("setting", "arguments", "problem"),
    [
        (dict(layers="3"), {}, "the last of 3 layers, which leaves none for head 'encoder'.*--layers 1"),
        (dict(layers="1,2"), {}, "these are of 2 layers; choose one with --use layers=1"),
        (dict(layers="2"), dict(layers=2), "layer 2 of 3, which leaves 1 for head 'encoder', not 2"),
        (dict(pooling="mean", layers="1"), {}, "reads token features, and these are pooled"),
        (dict(special_tokens=False), {}, "without special tokens"),
        (dict(padding_side="left"), {}, "padded on the left"),
    ],
)
def test_features_that_it_cannot_go_on_from_are_refused(setting, arguments, problem, source, bert, tmp_path):
    table = states(source, tmp_path / "store", bert, **setting)
    with pytest.raises(HeadError, match=problem):
        train_head(source, table, valid=source, config=config(head_args=arguments))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (dict(pooling="max"), "pooling is 'max'; there are model, cls, mean"),
        (dict(layers=0), "layers is 0"),
        (dict(layers="two"), "layers is two"),
        (dict(lr_decay=0), "lr_decay is 0"),
        (dict(precision="fp16"), "precision is 'fp16'"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(arguments, problem):
    with pytest.raises(SourceError, match=problem):
        config(head_args=arguments)
    with pytest.raises(SourceError, match="trained by adamw"):
        config(optimizer="sgd")


def test_arguments_that_training_adds_are_nobodys(source, bert, tmp_path):
    table = states(source, tmp_path / "store", bert)
    with pytest.raises(HeadError, match=r"no argument 'config' .it takes: layers, pooling"):
        train_head(source, table, valid=source, config=config(head_args={"config": {}}))


def test_another_model_in_the_folder_is_noticed_and_a_moved_one_is_named(source, tiny_model, tmp_path):
    model = tiny_model("bert", num_hidden_layers=3)
    table = states(source, tmp_path / "store", model)
    moved = model.rename(model.parent / "moved")
    with pytest.raises(ModelError):
        train_head(source, table, valid=source, config=config())
    asked = config(epochs=1, head_args={"model": str(moved)})
    assert "model" not in train_head(source, table, valid=source, config=asked).arguments
    other = tiny_model("bert", num_hidden_layers=3, intermediate_size=24)
    with pytest.raises(ModelError, match="not the one that the features were made with"):
        train_head(source, table, valid=source, config=config(head_args={"model": str(other)}))


def test_an_architecture_that_is_not_known_is_refused_by_name(source, tiny_model, tmp_path):
    model = tiny_model("albert", embedding_size=8, num_hidden_layers=3)
    table = states(source, tmp_path / "store", model)
    with pytest.raises(ModelError, match="type 'albert' cannot be a head; there are bert, ernie"):
        train_head(source, table, valid=source, config=config())


def test_a_text_without_tokens_counts_as_one():
    features = np.zeros((2, 4, 3), np.float16)
    features[0, :3] = 1
    assert token_counts(features).tolist() == [3, 1]
