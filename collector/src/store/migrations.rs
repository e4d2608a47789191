//! The schema, as numbered migrations. A migration that was released never changes.
//!
//! Unsigned 64-bit numbers (incarnations) are stored as the signed number of the same bits. Instants are microseconds of UTC.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use sitepulse_model::id::{BUCKETS, Bucket, Seq};
use sitepulse_model::time::UtcMicros;

use super::block::{self, Place};
use super::marks;
use crate::failpoint;
use crate::ingest::{Mark, Marks};

/// Schema 1.
const V1: &str = "
-- Small facts of the collector itself; bucket 0.
CREATE TABLE meta(
    bucket INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (bucket, name)
) STRICT, WITHOUT ROWID;

-- The history of each check's definition (body: JSON, see store/definition.rs).
CREATE TABLE check_revision(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, revision INTEGER NOT NULL,
    check_id TEXT NOT NULL, effective_from_us INTEGER NOT NULL, retired INTEGER NOT NULL,
    author TEXT NOT NULL, ordinal INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bucket, check_no, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent(
    bucket INTEGER NOT NULL, agent_no INTEGER NOT NULL, name TEXT NOT NULL, region TEXT NOT NULL,
    spki_sha256 BLOB NOT NULL, enrolled_at_us INTEGER NOT NULL, revoked_at_us INTEGER,
    build TEXT NOT NULL, last_seen_us INTEGER,
    PRIMARY KEY (bucket, agent_no), UNIQUE (bucket, name)
) STRICT, WITHOUT ROWID;

-- Only hashes: a stolen file enrols nobody. used_* make a retry with the same key idempotent.
CREATE TABLE join_token(
    bucket INTEGER NOT NULL, token_sha256 BLOB NOT NULL, region TEXT NOT NULL,
    created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL,
    used_spki BLOB, used_at_us INTEGER, agent_no INTEGER,
    PRIMARY KEY (bucket, token_sha256)
) STRICT, WITHOUT ROWID;

-- scope: 1 agent, 2 agent and check, 3 check. change: 1 suspend, 2 resume, 3 weight (thousandths).
CREATE TABLE control_event(
    bucket INTEGER NOT NULL, author TEXT NOT NULL, number INTEGER NOT NULL, at_us INTEGER NOT NULL,
    scope INTEGER NOT NULL, agent_no INTEGER, check_no INTEGER,
    change INTEGER NOT NULL, until_us INTEGER, weight INTEGER, reason TEXT,
    received_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, author, number)
) STRICT, WITHOUT ROWID;

-- In order of arrival, on purpose without an index per result: marks dedupe them. body: wire::record.
CREATE TABLE result(
    bucket INTEGER NOT NULL, agent_no INTEGER NOT NULL, incarnation INTEGER NOT NULL, seq INTEGER NOT NULL,
    check_no INTEGER NOT NULL, scheduled_us INTEGER NOT NULL, provenance_no INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;

CREATE TABLE provenance(
    bucket INTEGER NOT NULL, agent_no INTEGER NOT NULL, provenance_no INTEGER NOT NULL,
    build TEXT NOT NULL, clock_offset_us INTEGER, clock_uncertainty_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, agent_no, provenance_no)
) STRICT, WITHOUT ROWID;

-- Every sequence number below next_seq was seen, but for those in gaps (pairs of first and last, 8 bytes each, little endian).
CREATE TABLE mark(
    bucket INTEGER NOT NULL, agent_no INTEGER NOT NULL, incarnation INTEGER NOT NULL,
    next_seq INTEGER NOT NULL, gaps BLOB NOT NULL,
    PRIMARY KEY (bucket, agent_no, incarnation)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease(
    bucket INTEGER NOT NULL, owner INTEGER NOT NULL, epoch INTEGER NOT NULL, until_us INTEGER NOT NULL,
    PRIMARY KEY (bucket)
) STRICT, WITHOUT ROWID;

-- kind: 1 API token, 2 sign-in link, 3 console session. access: 1 read, 2 admin.
CREATE TABLE credential(
    bucket INTEGER NOT NULL, sha256 BLOB NOT NULL, kind INTEGER NOT NULL, access INTEGER NOT NULL,
    note TEXT NOT NULL, created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, sha256)
) STRICT, WITHOUT ROWID;

-- What agents sent and the collector cannot use: kept, counted, acknowledged.
CREATE TABLE quarantine(
    bucket INTEGER NOT NULL, agent_no INTEGER NOT NULL, incarnation INTEGER NOT NULL, seq INTEGER NOT NULL,
    received_us INTEGER NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
";

/// Schema 2: secrets, heartbeats, the collector's own observer.
const V2: &str = "
-- Sealed (sitepulse_daemon::seal) under the name; the key is not in this file. bucket 0.
CREATE TABLE secret(
    bucket INTEGER NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL, set_at_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, name)
) STRICT, WITHOUT ROWID;

-- 1 for the collector's own observer, which runs heartbeat checks.
ALTER TABLE agent ADD COLUMN internal INTEGER NOT NULL DEFAULT 0;

-- What a heartbeat check's job told so far: the sum of its pings, so that old ones may go.
CREATE TABLE heartbeat(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, token TEXT NOT NULL, pings INTEGER NOT NULL,
    last_ping_us INTEGER, last_success_us INTEGER, last_failure_us INTEGER, started_us INTEGER,
    failed INTEGER NOT NULL, exit_status INTEGER, duration_us INTEGER,
    PRIMARY KEY (bucket, check_no)
) STRICT, WITHOUT ROWID;

-- The newest pings of each job. kind: 1 start, 2 success, 3 fail, 4 log.
CREATE TABLE ping(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, number INTEGER NOT NULL, at_us INTEGER NOT NULL,
    kind INTEGER NOT NULL, exit_status INTEGER, body BLOB NOT NULL,
    PRIMARY KEY (bucket, check_no, number)
) STRICT, WITHOUT ROWID;
";

/// Schema 3: web vitals.
const V3: &str = "
-- What figures need of each web_vitals result, beside its record; durations in microseconds, CLS in ten-thousandths. state, cause: as
-- in records. A vital that was not measured is null in all three columns.
CREATE TABLE vitals(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, scheduled_us INTEGER NOT NULL, agent_no INTEGER NOT NULL,
    incarnation INTEGER NOT NULL, seq INTEGER NOT NULL, revision INTEGER NOT NULL,
    state INTEGER NOT NULL, cause INTEGER, profile TEXT NOT NULL, loads_counted INTEGER NOT NULL, loads_low_confidence INTEGER NOT NULL,
    lcp INTEGER, lcp_min INTEGER, lcp_max INTEGER, cls INTEGER, cls_min INTEGER, cls_max INTEGER,
    inp INTEGER, inp_min INTEGER, inp_max INTEGER, tbt INTEGER, tbt_min INTEGER, tbt_max INTEGER,
    fcp INTEGER, fcp_min INTEGER, fcp_max INTEGER, ttfb INTEGER, ttfb_min INTEGER, ttfb_max INTEGER,
    lcp_element TEXT NOT NULL,
    PRIMARY KEY (bucket, check_no, scheduled_us, agent_no, incarnation, seq)
) STRICT, WITHOUT ROWID;

-- The newest reports of each check from each agent, taken out of their records. body: JSON, see the model's vitals::report.
CREATE TABLE report(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, agent_no INTEGER NOT NULL, scheduled_us INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (bucket, check_no, agent_no, scheduled_us)
) STRICT;

-- The newest screenshots of each check's failures, taken out of their records. jpeg: the picture itself.
CREATE TABLE screenshot(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, scheduled_us INTEGER NOT NULL, agent_no INTEGER NOT NULL,
    jpeg BLOB NOT NULL,
    PRIMARY KEY (bucket, check_no, scheduled_us, agent_no)
) STRICT;
";

/// Schema 4: the ledger of years.
const V4: &str = "
-- From where records came: an agent's spool, its build and its clock.
CREATE TABLE source(
    bucket INTEGER NOT NULL, source_no INTEGER NOT NULL, agent_no INTEGER NOT NULL, incarnation INTEGER NOT NULL,
    build TEXT NOT NULL, clock_offset_us INTEGER, clock_uncertainty_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, source_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX source_by_number ON source(source_no);
CREATE TEMP TABLE source_of AS
    SELECT row_number() OVER (ORDER BY agent_no, incarnation, provenance_no) AS source_no, agent_no, incarnation, provenance_no
    FROM (SELECT DISTINCT agent_no, incarnation, provenance_no FROM result);
INSERT INTO source
    SELECT coalesce(p.bucket, 0), s.source_no, s.agent_no, s.incarnation, coalesce(p.build, ''), p.clock_offset_us,
        coalesce(p.clock_uncertainty_us, 0)
    FROM source_of s LEFT JOIN provenance p USING (agent_no, provenance_no);
-- Results get a number of arrival that is never used twice, whatever is deleted or vacuumed: seals name it. What source and body say is
-- not said again: most of a collector's bytes are in this table until they are sealed.
ALTER TABLE result RENAME TO result_3;
CREATE TABLE result(
    arrival INTEGER PRIMARY KEY,
    bucket INTEGER NOT NULL, source_no INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
INSERT INTO result(arrival, bucket, source_no, seq, body)
    SELECT r.rowid, r.bucket, s.source_no, r.seq, r.body
    FROM result_3 r JOIN source_of s USING (agent_no, incarnation, provenance_no) ORDER BY r.rowid;
DROP TABLE result_3;
DROP TABLE provenance;
DROP TABLE source_of;

-- Up to which arrival a bucket's results stand in chunks, series and pairs instead of in result, where they may still lie.
CREATE TABLE seal(
    bucket INTEGER NOT NULL, upto INTEGER NOT NULL,
    PRIMARY KEY (bucket)
) STRICT, WITHOUT ROWID;

-- Sealed records of one check from one agent, in columns, compressed (store/chunk.rs). Chunks of a pair may overlap in time. number: the
-- newest arrival among them, which no other chunk has. last_us: the latest slot that any of them speaks of.
CREATE TABLE chunk(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, agent_no INTEGER NOT NULL, first_us INTEGER NOT NULL, number INTEGER NOT NULL,
    last_us INTEGER NOT NULL, records INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (bucket, check_no, agent_no, first_us, number)
) STRICT;
-- What goes with its age is looked for each hour.
CREATE INDEX chunk_last ON chunk(last_us);

-- What timelines are made of, of the sealed records: kept for ever. month: months since 1970 of the slots' UTC.
CREATE TABLE series(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, agent_no INTEGER NOT NULL, month INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (bucket, check_no, agent_no, month)
) STRICT, WITHOUT ROWID;

-- Counts of the sealed records, and the newest result.
CREATE TABLE pair(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, agent_no INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (bucket, check_no, agent_no)
) STRICT, WITHOUT ROWID;

-- Latencies of the sealed results as sketches (store/rollup.rs). day: days since 1970 of UTC. class: 1 by the hour, 2 the day as a whole.
CREATE TABLE rollup(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, agent_no INTEGER NOT NULL, class INTEGER NOT NULL, day INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (bucket, check_no, agent_no, class, day)
) STRICT;

-- Where records that came late began to change the past and the amendment is not written yet: it tells the state before from the
-- records that arrived up to before_arrival. Later records of the pair are of the episode when their first slot is not after upto_us.
CREATE TABLE late(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, agent_no INTEGER NOT NULL, before_arrival INTEGER NOT NULL, noted_us INTEGER NOT NULL,
    upto_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, check_no, agent_no)
) STRICT, WITHOUT ROWID;

-- What late records changed. body: JSON, see the model's amendment.
CREATE TABLE amendment(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, number INTEGER NOT NULL,
    noted_us INTEGER NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bucket, check_no, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX amendment_noted ON amendment(noted_us, from_us, to_us);

-- What is written as code beside checks, with its history. kind: see book/objects.rs.
CREATE TABLE object_revision(
    bucket INTEGER NOT NULL, kind INTEGER NOT NULL, object_id TEXT NOT NULL, version INTEGER NOT NULL,
    effective_from_us INTEGER NOT NULL, retired INTEGER NOT NULL, author TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bucket, kind, object_id, version)
) STRICT, WITHOUT ROWID;

-- Figures that somebody was told, with all that is needed to make them again. body: JSON, see sla_report.
CREATE TABLE sla_report(
    bucket INTEGER NOT NULL, name TEXT NOT NULL, made_us INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bucket, name)
) STRICT;
";

/// Schema 5: incidents and their messages.
const V5: &str = "
-- Incidents. subject: 1 check, 2 agent, 3 objective, 4 a person's; object_id: of the objective. state, kind: words of the model. due_us: the
-- timer, when something is due without any evidence. life, about: JSON, see the model's incident::machine and alert::About.
CREATE TABLE incident(
    bucket INTEGER NOT NULL, incident_id TEXT NOT NULL, subject INTEGER NOT NULL, check_no INTEGER, agent_no INTEGER, object_id TEXT,
    kind TEXT NOT NULL, state TEXT NOT NULL, suspected_us INTEGER NOT NULL, opened_us INTEGER, resolved_us INTEGER, due_us INTEGER,
    life TEXT NOT NULL, about TEXT NOT NULL,
    PRIMARY KEY (bucket, incident_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_by_id ON incident(incident_id);
CREATE INDEX incident_suspected ON incident(suspected_us);
CREATE INDEX incident_resolved ON incident(resolved_us);

-- The history of each incident. author: who, `evidence` where nobody did. body: JSON, see alert::Record. hash: over the entry before and this one.
CREATE TABLE incident_entry(
    bucket INTEGER NOT NULL, incident_id TEXT NOT NULL, number INTEGER NOT NULL, at_us INTEGER NOT NULL, author TEXT NOT NULL,
    body TEXT NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY (bucket, incident_id, number)
) STRICT, WITHOUT ROWID;

-- Messages that go out, or went. state: 1 due, 2 leased, 3 delivered, 4 given up, 5 behind an earlier step of its incident and channel that is in
-- state 1, 2 or 5. tries: attempts since it was new or was taken up again; tried_us: when the first of them was. notice: JSON, see the model's notice.
CREATE TABLE outbox(
    bucket INTEGER NOT NULL, incident_id TEXT NOT NULL, channel_id TEXT NOT NULL, step INTEGER NOT NULL,
    state INTEGER NOT NULL, attempts INTEGER NOT NULL, created_us INTEGER NOT NULL, due_us INTEGER NOT NULL, notice TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, tried_us INTEGER,
    PRIMARY KEY (bucket, incident_id, channel_id, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox(state, channel_id, due_us);

-- Every attempt to deliver. outcome: 1 delivered, 2 to be tried again, 3 given up. note: what the provider said.
CREATE TABLE delivery(
    bucket INTEGER NOT NULL, incident_id TEXT NOT NULL, channel_id TEXT NOT NULL, step INTEGER NOT NULL, attempt INTEGER NOT NULL,
    at_us INTEGER NOT NULL, took_us INTEGER NOT NULL, outcome INTEGER NOT NULL, note TEXT NOT NULL,
    PRIMARY KEY (bucket, incident_id, channel_id, step, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_at ON delivery(at_us);

-- Who stands in on call, as given on the spot; what is written as code is in object_revision. ended_us: when it was taken back.
CREATE TABLE oncall_override(
    bucket INTEGER NOT NULL, schedule_id TEXT NOT NULL, number INTEGER NOT NULL, user_id TEXT NOT NULL,
    from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, given_us INTEGER NOT NULL, author TEXT NOT NULL,
    ended_us INTEGER, ended_by TEXT,
    PRIMARY KEY (bucket, schedule_id, number)
) STRICT, WITHOUT ROWID;

-- What the calendars of a schedule are signed with; another key makes their addresses void.
CREATE TABLE oncall_feed(
    bucket INTEGER NOT NULL, schedule_id TEXT NOT NULL, key BLOB NOT NULL, made_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, schedule_id)
) STRICT, WITHOUT ROWID;

-- What keeps pages still until an instant. body: JSON, see alert::silence.
CREATE TABLE silence(
    bucket INTEGER NOT NULL, silence_id TEXT NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bucket, silence_id)
) STRICT, WITHOUT ROWID;
";

/// Schema 5 too: results in blocks, see store/block.rs. Between this and what comes after it the records are moved.
const V5_RESULTS: &str = "
-- Records that came in and are not sealed yet: as many as a page holds, in order of arrival. arrival: the number of the first, which is never used
-- twice, whatever is deleted or vacuumed: seals name it; the others' follow. body: store/block.rs.
ALTER TABLE result RENAME TO result_4;
CREATE TABLE result(
    arrival INTEGER PRIMARY KEY, records INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
";

/// What is left to do once the blocks are written.
const V5_RESULTS_END: &str = "DROP TABLE result_4;";

/// Schema 6: what the console, the API and scores need, and who may do what.
const V6: &str = "
-- Requests that are done once (Idempotency-Key), for a day. name, asks: SHA-256. status, answer: NULL until it is done; the answer is sealed with the
-- client's key.
CREATE TABLE idempotency(
    bucket INTEGER NOT NULL, name BLOB NOT NULL, asks BLOB NOT NULL, at_us INTEGER NOT NULL, status INTEGER, answer BLOB,
    PRIMARY KEY (bucket, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency(at_us);
-- The impact scores of a day of UTC, by the hour, under one model. check_no 0 in bucket 0: all checks together. day: since 1970. hours: of each hour in two bytes,
-- little endian, its score in hundredths of a point, or 65535 where there is none.
CREATE TABLE impact_day(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, day INTEGER NOT NULL, model TEXT NOT NULL, hours BLOB NOT NULL,
    PRIMARY KEY (bucket, check_no, day, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX impact_by_day ON impact_day(day);

-- Whose a credential is (a user's id; none: nobody's in particular), how it came about (access::Way), who made it, when it was used last (to the hour).
ALTER TABLE credential ADD COLUMN user_id TEXT;
ALTER TABLE credential ADD COLUMN way INTEGER NOT NULL DEFAULT 0;
ALTER TABLE credential ADD COLUMN author TEXT NOT NULL DEFAULT '';
ALTER TABLE credential ADD COLUMN used_us INTEGER;

-- Passwords. phc: argon2id with its salt and costs, as a PHC string.
CREATE TABLE password(
    bucket INTEGER NOT NULL, user_id TEXT NOT NULL, phc TEXT NOT NULL, set_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, user_id)
) STRICT, WITHOUT ROWID;

-- Who changed what; bucket 0. of_number: of an outcome, what it is the outcome of. body: JSON, see access::audit. hash: over the entry before and this one.
CREATE TABLE audit(
    bucket INTEGER NOT NULL, number INTEGER NOT NULL, at_us INTEGER NOT NULL, of_number INTEGER, author TEXT NOT NULL,
    body TEXT NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY (bucket, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_of ON audit(bucket, of_number) WHERE of_number IS NOT NULL;
CREATE INDEX audit_at ON audit(bucket, at_us);
";

/// Schema 7: work to be done, and what to do first.
const V7: &str = "
-- Alerting.
-- Messages by what became of them, the newest first. outbox.state: 6 is one that somebody took back before it went out.
CREATE INDEX outbox_by_state ON outbox(state, created_us);
-- late: 1 where the result came in late: it counts for figures, and pages nobody.
ALTER TABLE vitals ADD COLUMN late INTEGER NOT NULL DEFAULT 0;

-- Jobs.
-- Work beside answering. state: 0 waits for its instant, 1 for its turn, 2 runs, 3 done, 4 failed, 5 cancelled. rank: due_us less 10 s for each point of priority, the
-- least goes first. dedupe: of one kind and key one waits or runs. epoch: the lease's, it grows with each start. args: JSON. progress: thousandths.
CREATE TABLE job(
    bucket INTEGER NOT NULL, job_id INTEGER NOT NULL, kind TEXT NOT NULL, dedupe TEXT,
    state INTEGER NOT NULL, priority INTEGER NOT NULL, rank INTEGER NOT NULL, due_us INTEGER NOT NULL, late_us INTEGER NOT NULL,
    tries INTEGER NOT NULL, epoch INTEGER NOT NULL, cancelling INTEGER NOT NULL, asked_us INTEGER NOT NULL, deadline_us INTEGER,
    author TEXT NOT NULL, args TEXT NOT NULL, first_started_us INTEGER, started_us INTEGER, ended_us INTEGER,
    progress INTEGER NOT NULL, note TEXT NOT NULL, file TEXT, deaths INTEGER NOT NULL, ready_us INTEGER NOT NULL, mark TEXT,
    PRIMARY KEY (bucket, job_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX job_key ON job(bucket, kind, dedupe) WHERE state <= 2 AND dedupe IS NOT NULL;
CREATE INDEX job_by_state ON job(state, kind, job_id);
CREATE INDEX job_later ON job(ready_us, late_us) WHERE state = 0;
CREATE INDEX job_ready ON job(kind, rank, job_id, late_us) WHERE state = 1;

-- epoch: the attempt's; 0 is none.
CREATE TABLE job_log(
    bucket INTEGER NOT NULL, job_id INTEGER NOT NULL, line INTEGER NOT NULL,
    at_us INTEGER NOT NULL, epoch INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (bucket, job_id, line)
) STRICT, WITHOUT ROWID;

-- Pages.
-- Where the largest element came from, and what moved in the largest shifts, one a line. Null: not told, as of all rows that are older than these columns; empty: nothing.
ALTER TABLE vitals ADD COLUMN lcp_url TEXT;
ALTER TABLE vitals ADD COLUMN shift_sources TEXT;

-- Findings. kind, severity, state: words of the model and of insight::life. checks: JSON, the ids of the checks that one counts for. touched_us: opened (again),
-- acknowledged or taken back. body: JSON, what was found last, where it stands, what a service made of it (store/findings.rs).
CREATE TABLE finding(
    bucket INTEGER NOT NULL, finding_id TEXT NOT NULL, kind TEXT NOT NULL, severity TEXT NOT NULL, state TEXT NOT NULL, checks TEXT NOT NULL,
    opened_us INTEGER NOT NULL, touched_us INTEGER NOT NULL, closed_us INTEGER, body TEXT NOT NULL,
    PRIMARY KEY (bucket, finding_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_by_id ON finding(finding_id);
CREATE INDEX finding_opened ON finding(opened_us, finding_id);
CREATE INDEX finding_closed ON finding(closed_us);

-- The history of each finding. author: who, `evidence` where nobody did. body: JSON, see insight::life::Entry.
CREATE TABLE finding_entry(
    bucket INTEGER NOT NULL, finding_id TEXT NOT NULL, number INTEGER NOT NULL, at_us INTEGER NOT NULL, author TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bucket, finding_id, number)
) STRICT, WITHOUT ROWID;

-- When detectors looked at something first, and last. subject: insight::look::Target::key.
CREATE TABLE insight_look(
    bucket INTEGER NOT NULL, subject TEXT NOT NULL, first_us INTEGER NOT NULL, at_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, subject)
) STRICT, WITHOUT ROWID;

-- Certificates that checks showed, each when a look saw it first: those that follow each other tell how long they live.
CREATE TABLE insight_certificate(
    bucket INTEGER NOT NULL, check_id TEXT NOT NULL, ends_us INTEGER NOT NULL, seen_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, check_id, ends_us)
) STRICT, WITHOUT ROWID;

-- Playbooks.

-- Runs of playbooks. occasion: incident, finding or check, and its id. state: running, finished or abandoned. done .. estimate_minutes: what it comes to, for
-- rates. head: JSON, what it was started with, its steps as they were; never changed.
CREATE TABLE playbook_run(
    bucket INTEGER NOT NULL, run_id TEXT NOT NULL, playbook TEXT NOT NULL, occasion TEXT NOT NULL, occasion_id TEXT NOT NULL,
    started_us INTEGER NOT NULL, started_by TEXT NOT NULL, state TEXT NOT NULL, done INTEGER NOT NULL, by_itself INTEGER NOT NULL,
    skipped INTEGER NOT NULL, took_us INTEGER NOT NULL, estimate_minutes INTEGER NOT NULL, head TEXT NOT NULL, ended_us INTEGER,
    PRIMARY KEY (bucket, run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX playbook_run_by_start ON playbook_run(started_us, run_id);
CREATE INDEX playbook_run_running ON playbook_run(started_us) WHERE state = 'running';
CREATE INDEX playbook_run_by_occasion ON playbook_run(occasion_id);
CREATE INDEX playbook_run_ended ON playbook_run(ended_us);
-- What happened to them. body: JSON, see the model's playbook/run.rs.
CREATE TABLE playbook_entry(
    bucket INTEGER NOT NULL, run_id TEXT NOT NULL, number INTEGER NOT NULL, at_us INTEGER NOT NULL, author TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (bucket, run_id, number)
) STRICT, WITHOUT ROWID;

-- Scores and indicators.
-- As impact_day, of several checks together. kind: 1 a group, 2 a region. In the bucket of the name.
CREATE TABLE impact_set_day(
    bucket INTEGER NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL, day INTEGER NOT NULL, model TEXT NOT NULL, hours BLOB NOT NULL,
    PRIMARY KEY (bucket, kind, name, day, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX impact_set_by_day ON impact_set_day(day);
-- Pages that nobody got. cause: 2 a parent was down, 3 it flapped; see the model's incident::indicators.
CREATE TABLE spared(
    bucket INTEGER NOT NULL, check_no INTEGER NOT NULL, at_us INTEGER NOT NULL, cause INTEGER NOT NULL,
    PRIMARY KEY (bucket, check_no, at_us, cause)
) STRICT, WITHOUT ROWID;
CREATE INDEX spared_at ON spared(at_us);

-- Subscribers of status pages.
-- Who is told of a status page by mail. subscriber: a keyed hash of page and address, which tells neither. sealed: the address. state: 1 asked, 2 confirmed.
-- refused: how many mails in a row the mail server refused because nobody has the address.
CREATE TABLE subscriber(
    bucket INTEGER NOT NULL, page_id TEXT NOT NULL, subscriber TEXT NOT NULL, sealed BLOB NOT NULL, language TEXT NOT NULL,
    state INTEGER NOT NULL, asked_us INTEGER NOT NULL, confirmed_us INTEGER, refused INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, page_id, subscriber)
) STRICT, WITHOUT ROWID;

-- Their mails. mail: what it is about, the same for ever. state: 1 waits until due_us, 2 delivered, 3 given up. leased: 1 while it is handed out to be sent.
-- tried_us: when it was tried first.
CREATE TABLE subscriber_mail(
    bucket INTEGER NOT NULL, page_id TEXT NOT NULL, subscriber TEXT NOT NULL, mail TEXT NOT NULL,
    state INTEGER NOT NULL, leased INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL, tried_us INTEGER,
    created_us INTEGER NOT NULL, due_us INTEGER NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bucket, page_id, subscriber, mail)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriber_mail_due ON subscriber_mail(state, due_us);

-- What subscribers of a page were told, whoever they were: it is not told again. mail: as in subscriber_mail.
CREATE TABLE page_news(
    bucket INTEGER NOT NULL, page_id TEXT NOT NULL, mail TEXT NOT NULL, told_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, page_id, mail)
) STRICT, WITHOUT ROWID;

-- Sign-in by a provider.
-- Who somebody at an identity provider is here. name: SHA-256 of issuer and subject, in hexadecimal digits.
CREATE TABLE identity(
    bucket INTEGER NOT NULL, name TEXT NOT NULL, user_id TEXT NOT NULL, issuer TEXT NOT NULL, subject TEXT NOT NULL,
    linked_us INTEGER NOT NULL, used_us INTEGER NOT NULL,
    PRIMARY KEY (bucket, name)
) STRICT, WITHOUT ROWID;
";

/// Schema 8: the marks of a spool in one row, see store/marks.rs. Between this and what comes after it they are moved. What scores were made of.
const V8: &str = "
-- What the scores of the day were made of: store/impact/made.rs; NULL of days before, and where it is not known.
ALTER TABLE impact_day ADD COLUMN made BLOB;
ALTER TABLE impact_set_day ADD COLUMN made BLOB;

ALTER TABLE mark RENAME TO mark_7;

-- In the bucket of the agent's name.
CREATE TABLE mark(
    bucket INTEGER NOT NULL, agent_no INTEGER NOT NULL, incarnation INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (bucket, agent_no, incarnation)
) STRICT, WITHOUT ROWID;
";

/// What is left to do once the marks are moved.
const V8_END: &str = "DROP TABLE mark_7;";

/// Schema 9: what measured a page.
const V9: &str = "
-- Form and major version of the browser: HeadlessChrome/156. Null: not told, as of all rows that are older than this column.
ALTER TABLE vitals ADD COLUMN browser TEXT;
";

const MIGRATIONS: [&str; 9] = [V1, V2, V3, V4, V5, V6, V7, V8, V9];

/// The newest schema of this build.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// The first schema whose results may stand in chunks.
const SEALED_FROM: i64 = 4;

/// The first schema that has the marks of a spool in one row.
const MARKS_TOGETHER_FROM: i64 = 8;

/// The first schema whose unsealed results stand in blocks.
pub(super) const BLOCKS_FROM: i64 = 5;

/// The file's schema, 0 for a new file.
pub(super) fn schema(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// How many records a file holds whose schema is older than [`BLOCKS_FROM`].
pub(super) fn count_rows(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = if schema(connection)? < SEALED_FROM {
        "SELECT count(*) FROM result"
    } else {
        "SELECT (SELECT coalesce(sum(records), 0) FROM chunk) + (SELECT count(*) FROM result \
         WHERE arrival > coalesce((SELECT upto FROM seal WHERE seal.bucket = result.bucket), 0))"
    };
    connection.query_row(sql, [], |row| row.get(0)).map(i64::cast_unsigned)
}

/// Brings the file to [`NEWEST`], each step in a transaction of its own; `now` stands beside what has to be set aside.
pub(super) fn migrate(connection: &Connection, application_id: i32, now: UtcMicros) -> Result<(), rusqlite::Error> {
    let found = schema(connection)?;
    for (number, migration) in (1_i64..).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        connection.execute_batch(migration)?;
        if number == BLOCKS_FROM {
            connection.execute_batch(V5_RESULTS)?;
            rows_to_blocks(connection, now)?;
            connection.execute_batch(V5_RESULTS_END)?;
        }
        if number == MARKS_TOGETHER_FROM {
            marks_together(connection)?;
            connection.execute_batch(V8_END)?;
        }
        connection.pragma_update(None, "application_id", application_id)?;
        connection.pragma_update(None, "user_version", number)?;
        failpoint::pass("migration.step");
        transaction.commit()?;
        failpoint::pass("migration.stepped");
    }
    Ok(())
}

/// Schema 4 had a row for each record. What is sealed already is left behind, and what cannot be read is set aside: sealing would do that to it.
fn rows_to_blocks(connection: &Connection, now: UtcMicros) -> Result<(), rusqlite::Error> {
    let mut rows = connection.prepare(
        "SELECT r.arrival, r.bucket, r.source_no, r.seq, r.body, coalesce(s.agent_no, 0), coalesce(s.incarnation, 0) \
         FROM result_4 r LEFT JOIN source s USING (source_no) \
         WHERE r.arrival > coalesce((SELECT upto FROM seal WHERE seal.bucket = r.bucket), 0) ORDER BY r.arrival",
    )?;
    let mut insert = connection.prepare("INSERT INTO result(arrival, records, body) VALUES (?1, ?2, ?3)")?;
    let mut set_aside = connection.prepare(
        "INSERT INTO quarantine(bucket, agent_no, incarnation, seq, received_us, reason, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, 'damaged', ?6)",
    )?;
    let mut block = block::Builder::default();
    // After the newest record of the block.
    let mut next = 0;
    let mut write = |block: &mut block::Builder, next: i64| -> Result<(), rusqlite::Error> {
        if let Some((records, body)) = block.block() {
            insert.execute(params![next - i64::from(records), records, body])?;
            block.clear();
        }
        Ok(())
    };
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (arrival, bucket, source, seq): (i64, u8, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let body = row.get_ref(4)?.as_bytes()?;
        let Ok(record) = sitepulse_wire::record::decode(body) else {
            let (agent, incarnation): (u32, i64) = (row.get(5)?, row.get(6)?);
            set_aside.execute(params![bucket, agent, incarnation, seq, now.0, body])?;
            continue;
        };
        // Numbers of arrival are kept: seals and amendments under way name them.
        if arrival != next {
            write(&mut block, next)?;
        }
        let place = Place { bucket: Bucket(bucket), source, seq: Seq(seq.cast_unsigned()) };
        if !block.push(place, &record) {
            write(&mut block, arrival)?;
            block.push(place, &record);
        }
        next = arrival + 1;
    }
    write(&mut block, next)
}

/// Up to schema 7 each bucket's mark had a row: the next number, and the gaps as pairs of first and last, 8 bytes each, little endian.
fn marks_together(connection: &Connection) -> Result<(), rusqlite::Error> {
    let mut rows = connection.prepare(
        "SELECT m.bucket, m.agent_no, m.incarnation, m.next_seq, m.gaps, coalesce(a.bucket, 0) \
         FROM mark_7 m LEFT JOIN agent a USING (agent_no)",
    )?;
    let mut spools: BTreeMap<(u32, i64), Marks> = BTreeMap::new();
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (bucket, agent, incarnation): (u8, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let next = row.get::<_, i64>(3)?.cast_unsigned();
        let (numbers, rest) = row.get_ref(4)?.as_bytes()?.as_chunks::<8>();
        let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let (pairs, odd) = numbers.as_chunks::<2>();
        let gaps = pairs.iter().map(|[first, last]| (*first, *last)).collect();
        let mark = Mark::from_parts(next, gaps).filter(|_| rest.is_empty() && odd.is_empty() && bucket < BUCKETS);
        let mark = mark.ok_or_else(|| {
            let what = format!("the mark of agent {agent} in bucket {bucket} makes no sense");
            rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Blob, what.into())
        })?;
        let home = Bucket(row.get(5)?);
        *spools.entry((agent, incarnation)).or_insert_with(|| Marks::new(home)).of_mut(Bucket(bucket)) = mark;
    }
    let mut insert =
        connection.prepare("INSERT INTO mark(bucket, agent_no, incarnation, body) VALUES (?1, ?2, ?3, ?4)")?;
    for ((agent, incarnation), marks) in spools {
        insert.execute(params![marks.home.0, agent, incarnation, marks::encode(&marks)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sitepulse_model::id::{CheckNo, Revision};
    use sitepulse_model::record::{Missed, MissedCause, Record};

    use super::super::Tables;
    use super::*;

    #[test]
    fn a_store_of_the_second_schema_is_brought_on_with_its_rows() {
        let connection = Connection::open_in_memory().unwrap();
        for (number, migration) in [(1, V1), (2, V2)] {
            connection.execute_batch(&format!("{migration} PRAGMA user_version = {number};")).unwrap();
        }
        // The second of them is no record.
        let mut body = Vec::new();
        let (check, revision) = (CheckNo(4), Revision(1));
        let (first, last) = (UtcMicros(5), UtcMicros(5));
        let missed = Missed { check, revision, first, last, count: 1, cause: MissedCause::Overloaded };
        sitepulse_wire::record::encode(&Record::Missed(missed), &mut body);
        let insert = "INSERT INTO result VALUES (7, 1, 2, 3, 4, 5, 6, ?1)";
        connection.execute(insert, [&body]).unwrap();
        connection.execute(insert, [[1, 2]]).unwrap();
        // Seen of bucket 7 were 0, 1, 4 and 5; of an agent that is there and of one that is not.
        let rows = "
                    INSERT INTO ping VALUES (7, 1, 1, 5, 2, NULL, x'');
                    INSERT INTO agent VALUES (9, 1, 'eu-1', 'eu', x'', 0, NULL, '', NULL, 0);
                    INSERT INTO mark VALUES (7, 1, 2, 6, x'02000000000000000300000000000000'), (8, 1, 2, 3, x''), (8, 4, 2, 1, x'');";
        connection.execute_batch(rows).unwrap();
        migrate(&connection, 1, UtcMicros(0)).unwrap();
        assert_eq!(schema(&connection).unwrap(), NEWEST);
        let count = |table: &str| -> i64 {
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!([count("result"), count("ping"), count("vitals"), count("report")], [1, 1, 0, 0]);
        assert_eq!(count("quarantine WHERE reason = 'damaged' AND body = x'0102' AND agent_no = 1 AND seq = 3"), 1);
        let marks = marks::all(Tables::of(&connection)).unwrap();
        let told: Vec<_> = marks.iter().map(|(key, marks)| (key.agent.0, key.incarnation.0, marks.home.0)).collect();
        assert_eq!(told, [(4, 2, 0), (1, 2, 9)]);
        let (_, marks) = &marks[1];
        assert_eq!((marks.of(Bucket(7)).next(), marks.of(Bucket(7)).gaps()), (6, &[(2, 3)][..]));
        assert_eq!((marks.of(Bucket(8)).next(), marks.seen().count(), marks.missing()), (3, 2, 2));
        // Once more changes nothing.
        migrate(&connection, 1, UtcMicros(0)).unwrap();
        assert_eq!((schema(&connection).unwrap(), count("result")), (NEWEST, 1));
    }

    #[test]
    fn every_key_begins_with_the_bucket() {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection, 1, UtcMicros(0)).unwrap();
        let mut keys = connection
            .prepare(
                "SELECT m.name || '.' || i.name, c.name FROM sqlite_schema m, pragma_index_list(m.name) i, \
                      pragma_index_info(i.name) c WHERE m.type = 'table' AND i.\"unique\" = 1 AND c.seqno = 0",
            )
            .unwrap();
        let keys = keys.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let keys: Vec<(String, String)> = keys.map(Result::unwrap).collect();
        assert!(keys.len() >= 15, "{keys:?}");
        assert!(keys.iter().all(|(_, first)| first == "bucket"), "{keys:?}");
    }
}
