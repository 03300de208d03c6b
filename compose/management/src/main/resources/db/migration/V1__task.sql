-- Correlation ids: 1 to 2^32-1, which is what the system of 2020 could read. No cycle: an id is never used twice.
create sequence correlation_id as bigint start with 1 increment by 1 minvalue 1 maxvalue 4294967295 no cycle no cache;

-- One row is the submission, the outbox entry (published_at is null) and the outcome (res is not null).
create table task (
    id                bigint primary key check (id between 1 and 4294967295),
    owner             varchar(100)  not null,
    url               varchar(2048) not null,
    original_key      varchar(255)  not null,
    thumbnail_key     varchar(255)  not null,
    submitted_at      timestamp(3) with time zone not null,
    traceparent       varchar(55),
    published_at      timestamp(3) with time zone,

    settled_at        timestamp(3) with time zone,
    -- Ok or Error. No check (res in (...)): H2 evaluates that with the session that created it, and fails once that is closed.
    res               varchar(5),
    description       varchar(4096),
    attempts          bigint,
    source_bytes      bigint,
    source_sha256     varchar(64),
    width             bigint,
    height            bigint,
    content_type      varchar(100),
    thumbnail_bytes   bigint,
    thumbnail_sha256  varchar(64),
    thumbnail_width   bigint,
    thumbnail_height  bigint,
    code              varchar(100),
    permanent         boolean
);

create index task_by_owner on task (owner, id desc);
create index task_outbox on task (published_at, res, id);
