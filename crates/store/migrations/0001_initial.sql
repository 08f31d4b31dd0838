-- Ids and digests are lower-case text, moments are milliseconds since 1970, flags are 0 and 1.
-- Only words that SQLite and PostgreSQL share, but for BLOB (BYTEA there).

CREATE TABLE dataset (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL UNIQUE,
    last_version  BIGINT NOT NULL, -- never falls, so that a deleted version's number is not given again
    created_at    BIGINT NOT NULL
);

CREATE TABLE dataset_version (
    id               TEXT   NOT NULL PRIMARY KEY,
    dataset_id       TEXT   NOT NULL REFERENCES dataset (id) ON DELETE CASCADE,
    version          BIGINT NOT NULL,
    digest           TEXT   NOT NULL,
    manifest_digest  TEXT   NOT NULL,
    classes_json     TEXT   NOT NULL,
    image_count      BIGINT NOT NULL,
    byte_count       BIGINT NOT NULL,
    source           TEXT   NOT NULL,
    report_json      TEXT   NOT NULL,
    created_at       BIGINT NOT NULL,
    UNIQUE (dataset_id, version),
    UNIQUE (dataset_id, digest)
);

CREATE TABLE run (
    id                  TEXT   NOT NULL PRIMARY KEY,
    name                TEXT   NOT NULL,
    status              TEXT   NOT NULL,
    dataset_version_id  TEXT   REFERENCES dataset_version (id) ON DELETE SET NULL,
    dataset             TEXT,  -- as `name@v1`: still told after the dataset version is gone
    config_yaml         TEXT   NOT NULL,
    seed                BIGINT NOT NULL, -- the 64 bits of the unsigned seed
    git_commit          TEXT,
    environment_json    TEXT   NOT NULL,
    error               TEXT,
    created_at          BIGINT NOT NULL,
    started_at          BIGINT,
    finished_at         BIGINT
);
CREATE INDEX run_by_name ON run (name);
CREATE INDEX run_by_status ON run (status);
CREATE INDEX run_by_dataset_version ON run (dataset_version_id);

CREATE TABLE run_param (
    run_id  TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (run_id, key)
);

-- Points of one metric in rising steps, split into chunks of at most 512.
-- The three arrays are packed little-endian: steps and times as 64-bit integers, values as 64-bit floats.
CREATE TABLE metric_chunk (
    run_id       TEXT   NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    key          TEXT   NOT NULL,
    chunk        BIGINT NOT NULL,
    point_count  BIGINT NOT NULL,
    first_step   BIGINT NOT NULL,
    last_step    BIGINT NOT NULL,
    step_data    BLOB   NOT NULL,
    time_data    BLOB   NOT NULL,
    value_data   BLOB   NOT NULL,
    PRIMARY KEY (run_id, key, chunk)
);

CREATE TABLE artifact (
    run_id      TEXT   NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    byte_count  BIGINT NOT NULL,
    media_type  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (run_id, name)
);

CREATE TABLE job (
    id                TEXT    NOT NULL PRIMARY KEY,
    kind              TEXT    NOT NULL,
    payload_json      TEXT    NOT NULL,
    run_id            TEXT    REFERENCES run (id) ON DELETE CASCADE,
    status            TEXT    NOT NULL,
    progress          DOUBLE PRECISION NOT NULL,
    message           TEXT    NOT NULL,
    cancel_requested  BOOLEAN NOT NULL,
    attempts          BIGINT  NOT NULL,
    process_id        BIGINT,
    heartbeat_at      BIGINT,
    error             TEXT,
    created_at        BIGINT  NOT NULL,
    started_at        BIGINT,
    finished_at       BIGINT
);
CREATE INDEX job_by_status ON job (status);
CREATE INDEX job_by_run ON job (run_id);

CREATE TABLE model (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL UNIQUE,
    last_version  BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE model_version (
    id             TEXT   NOT NULL PRIMARY KEY,
    model_id       TEXT   NOT NULL REFERENCES model (id) ON DELETE CASCADE,
    version        BIGINT NOT NULL,
    onnx_digest    TEXT   NOT NULL,
    manifest_json  TEXT   NOT NULL,
    run_id         TEXT   REFERENCES run (id) ON DELETE SET NULL,
    metrics_json   TEXT   NOT NULL,
    source         TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    UNIQUE (model_id, version)
);
CREATE INDEX model_version_by_run ON model_version (run_id);

CREATE TABLE model_alias (
    model_id          TEXT   NOT NULL REFERENCES model (id) ON DELETE CASCADE,
    alias             TEXT   NOT NULL,
    model_version_id  TEXT   NOT NULL REFERENCES model_version (id) ON DELETE CASCADE,
    updated_at        BIGINT NOT NULL,
    PRIMARY KEY (model_id, alias)
);
CREATE INDEX model_alias_by_version ON model_alias (model_version_id);

CREATE TABLE evaluation (
    id                  TEXT   NOT NULL PRIMARY KEY,
    run_id              TEXT   REFERENCES run (id) ON DELETE SET NULL,
    model_version_id    TEXT   REFERENCES model_version (id) ON DELETE SET NULL,
    dataset_version_id  TEXT   REFERENCES dataset_version (id) ON DELETE SET NULL,
    dataset             TEXT,
    split               TEXT   NOT NULL,
    report_json         TEXT   NOT NULL,
    created_at          BIGINT NOT NULL
);
CREATE INDEX evaluation_by_run ON evaluation (run_id);
CREATE INDEX evaluation_by_model_version ON evaluation (model_version_id);
CREATE INDEX evaluation_by_dataset_version ON evaluation (dataset_version_id);

-- No reference to the model's row: a model may be deleted while it answers, and what it
-- answered stays told until its retention ends.
CREATE TABLE prediction (
    id                  TEXT   NOT NULL PRIMARY KEY,
    created_at          BIGINT NOT NULL,
    model_version_id    TEXT   NOT NULL,
    model_name          TEXT   NOT NULL,
    version             BIGINT NOT NULL,
    input_digest        TEXT   NOT NULL,
    input_bytes         BIGINT NOT NULL,
    input_format        TEXT   NOT NULL,
    width               BIGINT NOT NULL,
    height              BIGINT NOT NULL,
    class               TEXT   NOT NULL,
    confidence          DOUBLE PRECISION NOT NULL,
    probabilities_json  TEXT   NOT NULL,
    latency_ms          DOUBLE PRECISION NOT NULL,
    decode_ms           DOUBLE PRECISION NOT NULL,
    preprocess_ms       DOUBLE PRECISION NOT NULL,
    inference_ms        DOUBLE PRECISION NOT NULL
);
CREATE INDEX prediction_by_created_at ON prediction (created_at);
CREATE INDEX prediction_by_model_version ON prediction (model_version_id, id);
