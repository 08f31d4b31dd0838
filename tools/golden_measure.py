"""Writes crates/measure/tests/golden/*.json: what scikit-learn says of fixed samples.

    python -m venv .venv && .venv/bin/pip install scikit-learn==1.9.1
    .venv/bin/python tools/golden_measure.py

Everything is seeded; running it again writes the same files.
"""

import json
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    log_loss,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
)
from sklearn.preprocessing import StandardScaler

GOLDEN = Path(__file__).parent.parent / "crates" / "measure" / "tests" / "golden"


def expected_calibration_error(probabilities, labels, bins=15):
    """Guo et al. 2017, equation 3, with bins (m/15, (m+1)/15]. scikit-learn has no such score."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.digitize(confidence, np.arange(1, bins) / bins, right=True)
    error = 0.0
    for index in range(bins):
        inside = place == index
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            error += inside.mean() * gap
    return error


def auroc_of_class(probabilities, labels, index):
    positive = labels == index
    if positive.all() or not positive.any():
        return None
    return roc_auc_score(positive, probabilities[:, index])


def overall_auroc(probabilities, labels, per_class):
    classes = probabilities.shape[1]
    if classes == 2:
        return per_class[1]
    if None not in per_class:
        return roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    known = [value for value in per_class if value is not None]
    return float(np.mean(known)) if known else None


def scores(probabilities, labels):
    # Ferrotype keeps probabilities as 32-bit floats; score the very same numbers.
    probabilities = np.asarray(probabilities, dtype=np.float32).astype(np.float64)
    labels = np.asarray(labels)
    names = list(range(probabilities.shape[1]))
    predicted = probabilities.argmax(axis=1)
    detail = dict(labels=names, zero_division=0)
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, **detail)
    macro = precision_recall_fscore_support(labels, predicted, average="macro", **detail)
    aurocs = [auroc_of_class(probabilities, labels, index) for index in names]
    return {
        "count": len(labels),
        "accuracy": accuracy_score(labels, predicted),
        "loss": log_loss(labels, probabilities, labels=names),
        "macro_precision": macro[0],
        "macro_recall": macro[1],
        "macro_f1": macro[2],
        "per_class": [
            {"precision": p, "recall": r, "f1": f, "support": int(s), "auroc": a}
            for p, r, f, s, a in zip(precision, recall, f1, support, aurocs)
        ],
        "confusion": confusion_matrix(labels, predicted, labels=names).tolist(),
        "auroc": overall_auroc(probabilities, labels, aurocs),
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
    }


def samples(random, count, classes, sharpness, decimals):
    """Probabilities that lean towards the label, rounded so that many are equal."""
    labels = random.integers(0, classes, count)
    logits = random.normal(0.0, 1.0, (count, classes))
    logits[np.arange(count), labels] += 1.0
    exponentials = np.exp(sharpness * logits)
    probabilities = np.round(exponentials / exponentials.sum(axis=1, keepdims=True), decimals)
    # Put back what rounding took, so that rows still sum to one.
    probabilities[:, -1] += 1.0 - probabilities.sum(axis=1)
    return np.clip(np.round(probabilities, decimals), 0.0, 1.0), labels


def classification_cases():
    random = np.random.default_rng(7)
    cases = {
        "binary": samples(random, 80, 2, 1.0, 4),
        "binary_with_many_ties": samples(random, 80, 2, 1.0, 1),
        "five_classes": samples(random, 90, 5, 1.0, 3),
        "five_classes_with_many_ties": samples(random, 90, 5, 1.0, 1),
        "overconfident": samples(random, 60, 3, 6.0, 2),
    }
    # Class 3 has no sample, class 2 is never predicted.
    probabilities, labels = samples(random, 40, 4, 1.0, 3)
    labels[labels == 3] = 0
    probabilities[:, 2] *= 0.01
    probabilities = np.round(probabilities / probabilities.sum(axis=1, keepdims=True), 5)
    probabilities[:, 0] = np.round(1.0 - probabilities[:, 1:].sum(axis=1), 5)
    cases["a_class_without_samples_and_one_never_predicted"] = (probabilities, labels)
    cases["one_class_only"] = (np.array([[0.7, 0.3], [0.4, 0.6]]), np.array([0, 0]))
    return [
        {
            "name": name,
            "probabilities": probabilities.tolist(),
            "labels": labels.tolist(),
            "expected": scores(probabilities, labels),
        }
        for name, (probabilities, labels) in cases.items()
    ]


def best_f1(truths, probabilities):
    """The best F1 that any threshold gives; none for a label that no sample has."""
    if not truths.any():
        return None
    precision, recall, _ = precision_recall_curve(truths, probabilities)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300)))


def label_scores(probabilities, truths, threshold):
    probabilities = np.asarray(probabilities, dtype=np.float32).astype(np.float64)
    answers = probabilities > np.float32(threshold)
    detail = dict(zero_division=0)
    precision, recall, f1, support = precision_recall_fscore_support(truths, answers, **detail)
    macro = precision_recall_fscore_support(truths, answers, average="macro", **detail)
    micro = precision_recall_fscore_support(truths, answers, average="micro", **detail)
    columns = range(truths.shape[1])
    # A class index where the label is there, and none where it is not.
    aurocs = [auroc_of_class(probabilities, np.where(truths[:, i] == 1, i, -1), i) for i in columns]
    precisions = [
        average_precision_score(truths[:, i], probabilities[:, i]) if truths[:, i].any() else None
        for i in columns
    ]
    best_f1s = [best_f1(truths[:, i], probabilities[:, i]) for i in columns]
    known = lambda values: [value for value in values if value is not None]
    return {
        "count": len(truths),
        "exact_match": accuracy_score(truths, answers),
        "loss": float(np.mean([log_loss(t, p, labels=[0, 1]) for t, p in zip(truths.T, probabilities.T)])),
        "macro": list(macro[:3]),
        "micro": list(micro[:3]),
        "auroc": float(np.mean(known(aurocs))),
        "mean_average_precision": float(np.mean(known(precisions))),
        "per_label": [
            {"precision": p, "recall": r, "f1": f, "support": int(s), "auroc": a, "average_precision": ap, "best_f1": best}
            for p, r, f, s, a, ap, best in zip(precision, recall, f1, support, aurocs, precisions, best_f1s)
        ],
    }


def label_samples(random, count, shares, decimals):
    """Independent labels, each true in its share of the samples, and probabilities that lean
    towards the truth, rounded so that many are equal."""
    truths = (random.random((count, len(shares))) < shares).astype(int)
    logits = random.normal(0.0, 1.0, truths.shape) + 2.0 * truths - 1.0
    return np.round(1.0 / (1.0 + np.exp(-logits)), decimals), truths


def multi_label_cases():
    random = np.random.default_rng(13)
    cases = {
        "four_labels": (*label_samples(random, 90, [0.5, 0.3, 0.2, 0.1], 4), 0.5),
        "many_ties": (*label_samples(random, 90, [0.5, 0.3, 0.2], 1), 0.5),
        "a_low_threshold": (*label_samples(random, 60, [0.1, 0.05], 3), 0.2),
    }
    # Label 1 is never true, label 2 always, label 3 never answered.
    probabilities, truths = label_samples(random, 50, [0.4, 0.0, 1.0, 0.2], 3)
    probabilities[:, 3] *= 0.1
    cases["labels_that_cannot_be_ranked_and_one_never_answered"] = (
        np.round(probabilities, 4), truths, 0.5)
    return [
        {
            "name": name,
            "threshold": threshold,
            "probabilities": probabilities.tolist(),
            "truths": truths.tolist(),
            "expected": label_scores(probabilities, truths, threshold),
        }
        for name, (probabilities, truths, threshold) in cases.items()
    ]


def linear_cases():
    random = np.random.default_rng(11)
    cases = []
    for name, count, dimension, classes, strength in [
        ("two_classes", 50, 3, 2, 1.0),
        ("four_classes", 80, 5, 4, 1.0),
        ("strong_penalty", 60, 4, 3, 25.0),
    ]:
        labels = np.arange(count) % classes
        centres = random.normal(0.0, 1.0, (classes, dimension))
        features = np.round(centres[labels] + random.normal(0.0, 1.0, (count, dimension)), 3)
        features = features * 10.0 + 100.0
        standardised = StandardScaler().fit_transform(features)
        # Two classes: the same softmax objective with half the penalty a weight, since
        # scikit-learn keeps one row of weights (their difference) for both classes.
        inverse = 1.0 / strength if classes > 2 else 2.0 / strength
        model = LogisticRegression(C=inverse, tol=1e-10, max_iter=10_000)
        model.fit(standardised, labels)
        cases.append(
            {
                "name": name,
                "l2": strength,
                "classes": classes,
                "features": features.tolist(),
                "labels": labels.tolist(),
                "probabilities": model.predict_proba(standardised).tolist(),
                "accuracy": model.score(standardised, labels),
            }
        )
    return cases


def write(name, cases):
    path = GOLDEN / name
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f"[\n{lines}\n]\n")
    print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without samples, which are the point
        write("classification.json", classification_cases())
        write("linear.json", linear_cases())
        write("multi_label.json", multi_label_cases())
