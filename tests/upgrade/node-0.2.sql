BEGIN TRANSACTION;
CREATE TABLE application_versions (
    version_id TEXT NOT NULL PRIMARY KEY,
    version_name TEXT NOT NULL UNIQUE,
    version_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL);
INSERT INTO "application_versions" VALUES('ab93ebee-94b0-46c7-8ecb-44a10996ded7','1',1795792289000,1795792289000,'spine-node');
CREATE TABLE dbos_migrations (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO "dbos_migrations" VALUES(125);
CREATE TABLE ledger_deliveries (
	job VARCHAR NOT NULL, 
	peer VARCHAR NOT NULL, 
	sop_instance_uid VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	status INTEGER, 
	detail VARCHAR NOT NULL, 
	attempts INTEGER NOT NULL, 
	changed_at FLOAT NOT NULL, 
	PRIMARY KEY (job, peer, sop_instance_uid)
);
INSERT INTO "ledger_deliveries" VALUES('55555555555555555555555555555555','pacs','1.2.826.0.1.3680043.8.498.5.9.1','stored',0,'',1,1.79579229676711797712e+09);
INSERT INTO "ledger_deliveries" VALUES('55555555555555555555555555555555','pacs','1.2.826.0.1.3680043.8.498.5.9.2','refused',43264,'data set does not match SOP class',1,1.79579229677527117724e+09);
INSERT INTO "ledger_deliveries" VALUES('33333333333333333333333333333333','pacs','1.2.826.0.1.3680043.8.498.3.9.1','stored',0,'',1,1.79579229701705098153e+09);
INSERT INTO "ledger_deliveries" VALUES('44444444444444444444444444444444','pacs','1.2.826.0.1.3680043.8.498.4.9.1','stored',0,'',1,1.79579229856105113032e+09);
INSERT INTO "ledger_deliveries" VALUES('44444444444444444444444444444444','pacs','1.2.826.0.1.3680043.8.498.4.9.2','warning',45056,'coercion of data elements',1,1.79579229856354379655e+09);
CREATE TABLE ledger_jobs (
	job VARCHAR NOT NULL, 
	series_uid VARCHAR NOT NULL, 
	study_uid VARCHAR NOT NULL, 
	instances INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	stage VARCHAR NOT NULL, 
	fraction FLOAT NOT NULL, 
	folder VARCHAR NOT NULL, 
	received_at FLOAT NOT NULL, 
	changed_at FLOAT NOT NULL, 
	PRIMARY KEY (job)
);
INSERT INTO "ledger_jobs" VALUES('11111111111111111111111111111111','1.2.826.0.1.3680043.8.498.1.2','1.2.826.0.1.3680043.8.498.1.1',3,'received','','',0.0,'/SPOOL/inbox/claimed/1.2.826.0.1.3680043.8.498.1.2',1.79579229671961784365e+09,1.79579229671961784365e+09);
INSERT INTO "ledger_jobs" VALUES('22222222222222222222222222222222','1.2.826.0.1.3680043.8.498.2.2','1.2.826.0.1.3680043.8.498.2.1',3,'analysing','','segmenting',0.4,'/SPOOL/inbox/claimed/1.2.826.0.1.3680043.8.498.2.2',1.79579229672707748419e+09,1.79579229992717266089e+09);
INSERT INTO "ledger_jobs" VALUES('33333333333333333333333333333333','1.2.826.0.1.3680043.8.498.3.2','1.2.826.0.1.3680043.8.498.3.1',3,'analysed','','',0.0,'/SPOOL/inbox/done/1.2.826.0.1.3680043.8.498.3.2',1.79579229672824335095e+09,1.7957922968469803333e+09);
INSERT INTO "ledger_jobs" VALUES('44444444444444444444444444444444','1.2.826.0.1.3680043.8.498.4.2','1.2.826.0.1.3680043.8.498.4.1',3,'delivered','','',0.0,'/SPOOL/inbox/done/1.2.826.0.1.3680043.8.498.4.2',1.79579229672965216641e+09,1.79579229856677484509e+09);
INSERT INTO "ledger_jobs" VALUES('55555555555555555555555555555555','1.2.826.0.1.3680043.8.498.5.2','1.2.826.0.1.3680043.8.498.5.1',3,'undelivered','pacs: sr-3d refused','',0.0,'/SPOOL/inbox/done/1.2.826.0.1.3680043.8.498.5.2',1.79579229673506569862e+09,1.79579229677975940699e+09);
INSERT INTO "ledger_jobs" VALUES('66666666666666666666666666666666','1.2.826.0.1.3680043.8.498.6.2','1.2.826.0.1.3680043.8.498.6.1',3,'refused','a slice is missing: 2.000 mm for 1 gap, 1.000 mm for 398','',0.0,'/SPOOL/inbox/refused/1.2.826.0.1.3680043.8.498.6.2',1.79579229674290895462e+09,1.79579229675488233567e+09);
INSERT INTO "ledger_jobs" VALUES('77777777777777777777777777777777','1.2.826.0.1.3680043.8.498.7.2','1.2.826.0.1.3680043.8.498.7.1',3,'ignored','image type LOCALIZER: rule localizers ignores it','',0.0,'/SPOOL/inbox/ignored/1.2.826.0.1.3680043.8.498.7.2',1.79579229674688410764e+09,1.79579229675883650773e+09);
INSERT INTO "ledger_jobs" VALUES('88888888888888888888888888888888','1.2.826.0.1.3680043.8.498.8.2','1.2.826.0.1.3680043.8.498.8.1',3,'failed','Traceback (most recent call last):
  File "x.py", line 1
ZeroDivisionError: division by zero','',0.0,'/SPOOL/inbox/failed/1.2.826.0.1.3680043.8.498.8.2',1.79579229675090146058e+09,1.79579229676285576818e+09);
CREATE TABLE notifications (
    message_uuid TEXT NOT NULL DEFAULT (hex(randomblob(16))) PRIMARY KEY,
    destination_uuid TEXT NOT NULL,
    topic TEXT,
    message TEXT NOT NULL,
    created_at_epoch_ms INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000), "serialization" TEXT DEFAULT NULL, "consumed" BOOLEAN NOT NULL DEFAULT FALSE, consumed_by_function_id INTEGER,
    FOREIGN KEY (destination_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE "operation_outputs" (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    function_name TEXT NOT NULL DEFAULT '',
    output TEXT,
    error TEXT,
    child_workflow_id TEXT,
    started_at_epoch_ms INTEGER,
    completed_at_epoch_ms INTEGER,
    serialization TEXT,
    application_name TEXT DEFAULT NULL,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    PRIMARY KEY (workflow_uuid, function_id)
);
INSERT INTO "operation_outputs" VALUES('analyse:33333333333333333333333333333333',1,'analyse.step.v1','gASVFgAAAAAAAAB9lIwFcGVlcnOUXZSMBHBhY3OUYXMu',NULL,NULL,1795792296835,1795792296855,'py_pickle','spine-node',1795792296000);
INSERT INTO "operation_outputs" VALUES('analyse:33333333333333333333333333333333',2,'deliver.v1',NULL,NULL,'deliver:33333333333333333333333333333333:pacs:0',1795792296871,1795792296883,NULL,'spine-node',1795792296000);
INSERT INTO "operation_outputs" VALUES('deliver:33333333333333333333333333333333:pacs:0',1,'deliver.step.v1','gASVRAAAAAAAAACMQHBhY3MgKFBBQ1MgYXQgMTkyLjAuMi4xMDoxMDQpIGRpZCBub3QgYW5zd2VyOiBjb25uZWN0aW9uIHJlZnVzZWSULg==',NULL,NULL,1795792297014,1795792297018,'py_pickle','spine-node',1795792297000);
INSERT INTO "operation_outputs" VALUES('deliver:33333333333333333333333333333333:pacs:0',2,'deliver.v1',NULL,NULL,'deliver:33333333333333333333333333333333:pacs:1',1795792297027,1795792297030,NULL,'spine-node',1795792297000);
INSERT INTO "operation_outputs" VALUES('analyse:44444444444444444444444444444444',1,'analyse.step.v1','gASVFgAAAAAAAAB9lIwFcGVlcnOUXZSMBHBhY3OUYXMu',NULL,NULL,1795792298384,1795792298390,'py_pickle','spine-node',1795792298000);
INSERT INTO "operation_outputs" VALUES('analyse:44444444444444444444444444444444',2,'deliver.v1',NULL,NULL,'deliver:44444444444444444444444444444444:pacs:0',1795792298399,1795792298400,NULL,'spine-node',1795792298000);
INSERT INTO "operation_outputs" VALUES('deliver:44444444444444444444444444444444:pacs:0',1,'deliver.step.v1','gASVBAAAAAAAAACMAJQu',NULL,NULL,1795792298560,1795792298570,'py_pickle','spine-node',1795792298000);
CREATE TABLE queues (
    queue_id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))),
    name TEXT NOT NULL UNIQUE,
    concurrency INTEGER,
    worker_concurrency INTEGER,
    rate_limit_max INTEGER,
    rate_limit_period_sec REAL,
    priority_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    partition_queue BOOLEAN NOT NULL DEFAULT FALSE,
    polling_interval_sec REAL NOT NULL DEFAULT 1.0,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL, "partition_concurrency" INTEGER DEFAULT NULL, "partition_worker_concurrency" INTEGER DEFAULT NULL, "partition_rate_limit_max" INTEGER DEFAULT NULL, "partition_rate_limit_period_sec" REAL DEFAULT NULL);
INSERT INTO "queues" VALUES('C15438D6762FF0DEB98330A66AB62097','analyse',NULL,1,NULL,NULL,1,0,0.25,1795792289000,1795792296701,'spine-node',NULL,NULL,NULL,NULL);
INSERT INTO "queues" VALUES('700865B7D4BD7B59573FEE0607161778','deliver',NULL,4,NULL,NULL,1,0,0.25,1795792289000,1795792296715,'spine-node',NULL,NULL,NULL,NULL);
CREATE TABLE streams (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    "offset" INTEGER NOT NULL, function_id INTEGER NOT NULL DEFAULT 0, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key, "offset"),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_events (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_events_history (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, function_id, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid)
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_input (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    inputs TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_input" VALUES('analyse:33333333333333333333333333333333','gASVPAAAAAAAAAB9lCiMBGFyZ3OUjCAzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM5SFlIwGa3dhcmdzlH2UdS4=',1795792296000);
INSERT INTO "workflow_input" VALUES('deliver:33333333333333333333333333333333:pacs:0','gASVTwAAAAAAAAB9lCiMBGFyZ3OUKIwgMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzOUjARwYWNzlEsARwAAAAAAAAAAdJSMBmt3YXJnc5R9lHUu',1795792296000);
INSERT INTO "workflow_input" VALUES('deliver:33333333333333333333333333333333:pacs:1','gASVTwAAAAAAAAB9lCiMBGFyZ3OUKIwgMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzOUjARwYWNzlEsBR0AuAAAAAAAAdJSMBmt3YXJnc5R9lHUu',1795792297000);
INSERT INTO "workflow_input" VALUES('analyse:44444444444444444444444444444444','gASVPAAAAAAAAAB9lCiMBGFyZ3OUjCA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NJSFlIwGa3dhcmdzlH2UdS4=',1795792298000);
INSERT INTO "workflow_input" VALUES('deliver:44444444444444444444444444444444:pacs:0','gASVTwAAAAAAAAB9lCiMBGFyZ3OUKIwgNDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDSUjARwYWNzlEsARwAAAAAAAAAAdJSMBmt3YXJnc5R9lHUu',1795792298000);
INSERT INTO "workflow_input" VALUES('analyse:22222222222222222222222222222222','gASVPAAAAAAAAAB9lCiMBGFyZ3OUjCAyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMpSFlIwGa3dhcmdzlH2UdS4=',1795792299000);
INSERT INTO "workflow_input" VALUES('analyse:11111111111111111111111111111111','gASVPAAAAAAAAAB9lCiMBGFyZ3OUjCAxMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMZSFlIwGa3dhcmdzlH2UdS4=',1795792301000);
INSERT INTO "workflow_input" VALUES('notice:66666666666666666666666666666666','gASVPAAAAAAAAAB9lCiMBGFyZ3OUjCA2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NpSFlIwGa3dhcmdzlH2UdS4=',1795792301000);
CREATE TABLE workflow_output (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    output TEXT,
    error TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_output" VALUES('analyse:33333333333333333333333333333333','gAROLg==',NULL,1795792296000);
INSERT INTO "workflow_output" VALUES('deliver:33333333333333333333333333333333:pacs:0','gAROLg==',NULL,1795792297000);
INSERT INTO "workflow_output" VALUES('analyse:44444444444444444444444444444444','gAROLg==',NULL,1795792298000);
INSERT INTO "workflow_output" VALUES('deliver:44444444444444444444444444444444:pacs:0','gAROLg==',NULL,1795792298000);
CREATE TABLE workflow_schedules (
    schedule_id TEXT PRIMARY KEY,
    schedule_name TEXT NOT NULL UNIQUE,
    workflow_name TEXT NOT NULL,
    workflow_class_name TEXT,
    schedule TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    context TEXT NOT NULL
, "last_fired_at" TEXT DEFAULT NULL, "automatic_backfill" BOOLEAN NOT NULL DEFAULT FALSE, "cron_timezone" TEXT DEFAULT NULL, "queue_name" TEXT DEFAULT NULL, "application_name" TEXT DEFAULT NULL);
CREATE TABLE workflow_status (
    workflow_uuid TEXT PRIMARY KEY,
    status TEXT,
    name TEXT,
    authenticated_user TEXT,
    assumed_role TEXT,
    authenticated_roles TEXT,
    request TEXT,
    output TEXT,
    error TEXT,
    executor_id TEXT,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    application_version TEXT,
    application_id TEXT,
    class_name TEXT DEFAULT NULL,
    config_name TEXT DEFAULT NULL,
    recovery_attempts INTEGER DEFAULT 0,
    queue_name TEXT,
    workflow_timeout_ms INTEGER,
    workflow_deadline_epoch_ms INTEGER,
    inputs TEXT,
    started_at_epoch_ms INTEGER,
    deduplication_id TEXT,
    priority INTEGER NOT NULL DEFAULT 0
, queue_partition_key TEXT, forked_from TEXT, "owner_xid" TEXT DEFAULT NULL, "parent_workflow_id" TEXT DEFAULT NULL, "serialization" TEXT DEFAULT NULL, "delay_until_epoch_ms" BIGINT DEFAULT NULL, "was_forked_from" BOOLEAN NOT NULL DEFAULT FALSE, "rate_limited" BOOLEAN NOT NULL DEFAULT FALSE, "completed_at" BIGINT, "attributes" TEXT, "schedule_name" TEXT, "debounce_deadline_epoch_ms" BIGINT DEFAULT NULL, "is_debounced" BOOLEAN NOT NULL DEFAULT FALSE, "application_name" TEXT DEFAULT NULL, "creator_xid" TEXT DEFAULT NULL);
INSERT INTO "workflow_status" VALUES('analyse:33333333333333333333333333333333','SUCCESS','analyse.v1',NULL,NULL,NULL,NULL,NULL,NULL,'OLDHOST:worker0',1795792296000,1795792296000,'1','',NULL,NULL,1,'analyse',NULL,NULL,NULL,1795792296000,NULL,0,NULL,NULL,NULL,NULL,'py_pickle',NULL,0,0,1795792296000,'null',NULL,NULL,0,'spine-node','5a21c4bf-aeb8-4354-a7c0-618452f3d1c5');
INSERT INTO "workflow_status" VALUES('deliver:33333333333333333333333333333333:pacs:0','SUCCESS','deliver.v1',NULL,NULL,NULL,NULL,NULL,NULL,'OLDHOST:node',1795792296000,1795792297000,'1','',NULL,NULL,1,'deliver',NULL,NULL,NULL,1795792297000,NULL,0,NULL,NULL,NULL,'analyse:33333333333333333333333333333333','py_pickle',NULL,0,0,1795792297000,'null',NULL,NULL,0,'spine-node','065a7778-d8ee-4435-8548-db379cff6307');
INSERT INTO "workflow_status" VALUES('deliver:33333333333333333333333333333333:pacs:1','DELAYED','deliver.v1',NULL,NULL,NULL,NULL,NULL,NULL,'OLDHOST:node',1795792297000,1795792297000,'1','',NULL,NULL,0,'deliver',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,'deliver:33333333333333333333333333333333:pacs:0','py_pickle',1795792312027,0,0,NULL,'null',NULL,NULL,0,'spine-node','b70266c0-68a0-45a4-9040-0b95cc8179da');
INSERT INTO "workflow_status" VALUES('analyse:44444444444444444444444444444444','SUCCESS','analyse.v1',NULL,NULL,NULL,NULL,NULL,NULL,'OLDHOST:worker0',1795792298000,1795792298000,'1','',NULL,NULL,1,'analyse',NULL,NULL,NULL,1795792298000,NULL,0,NULL,NULL,NULL,NULL,'py_pickle',NULL,0,0,1795792298000,'null',NULL,NULL,0,'spine-node','da720dc7-c64a-4c27-9b5c-8ee75b6ef6d6');
INSERT INTO "workflow_status" VALUES('deliver:44444444444444444444444444444444:pacs:0','SUCCESS','deliver.v1',NULL,NULL,NULL,NULL,NULL,NULL,'OLDHOST:node',1795792298000,1795792298000,'1','',NULL,NULL,1,'deliver',NULL,NULL,NULL,1795792298000,NULL,0,NULL,NULL,NULL,'analyse:44444444444444444444444444444444','py_pickle',NULL,0,0,1795792298000,'null',NULL,NULL,0,'spine-node','581f20a9-7a07-436f-8aec-b92247b9eb3d');
INSERT INTO "workflow_status" VALUES('analyse:22222222222222222222222222222222','PENDING','analyse.v1',NULL,NULL,NULL,NULL,NULL,NULL,'OLDHOST:worker0',1795792299000,1795792299000,'1','',NULL,NULL,1,'analyse',NULL,NULL,NULL,1795792299000,NULL,0,NULL,NULL,'abde62e1-5d72-4bcd-836f-6e83ca52362c',NULL,'py_pickle',NULL,0,0,NULL,'null',NULL,NULL,0,'spine-node','9cdd994b-6344-40a8-8864-ba11e09d7e33');
INSERT INTO "workflow_status" VALUES('analyse:11111111111111111111111111111111','ENQUEUED','analyse.v1',NULL,NULL,NULL,NULL,NULL,NULL,'OLDHOST:node',1795792301000,1795792301000,'1','',NULL,NULL,0,'analyse',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'py_pickle',NULL,0,0,NULL,'null',NULL,NULL,0,'spine-node','82b7ef2e-b3ee-4ac9-8079-6dcfc7fb9902');
INSERT INTO "workflow_status" VALUES('notice:66666666666666666666666666666666','ENQUEUED','notify.v1',NULL,NULL,NULL,NULL,NULL,NULL,'OLDHOST:node',1795792301000,1795792301000,'1','',NULL,NULL,0,'analyse',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'py_pickle',NULL,0,0,NULL,'null',NULL,NULL,0,'spine-node','05055ee7-c901-4c46-bf97-81805830f198');
CREATE INDEX ix_ledger_jobs_series_uid ON ledger_jobs (series_uid);
CREATE INDEX ix_ledger_jobs_study_uid ON ledger_jobs (study_uid);
CREATE INDEX workflow_status_created_at_index ON workflow_status (created_at);
CREATE INDEX idx_workflow_topic ON notifications (destination_uuid, topic);
CREATE INDEX "idx_workflow_status_delayed" ON "workflow_status" ("delay_until_epoch_ms") WHERE status = 'DELAYED';
CREATE INDEX "idx_workflow_status_forked_from" ON "workflow_status" ("forked_from") WHERE "forked_from" IS NOT NULL;
CREATE INDEX "idx_workflow_status_parent_workflow_id" ON "workflow_status" ("parent_workflow_id") WHERE "parent_workflow_id" IS NOT NULL;
CREATE UNIQUE INDEX "uq_workflow_status_dedup_id" ON "workflow_status" ("queue_name", "deduplication_id") WHERE "deduplication_id" IS NOT NULL;
CREATE INDEX "idx_workflow_status_pending" ON "workflow_status" ("created_at") WHERE "status" = 'PENDING';
CREATE INDEX "idx_workflow_status_failed" ON "workflow_status" ("status", "created_at") WHERE "status" IN ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');
CREATE INDEX "idx_workflow_status_rate_limited" ON "workflow_status" ("queue_name", "started_at_epoch_ms") WHERE "rate_limited" = TRUE;
CREATE INDEX "idx_workflow_status_completed_at" ON "workflow_status" ("completed_at") WHERE "completed_at" IS NOT NULL;
CREATE INDEX "idx_workflow_status_started_at" ON "workflow_status" ("started_at_epoch_ms") WHERE "started_at_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_workflow_status_schedule_name" ON "workflow_status" ("schedule_name") WHERE "schedule_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_owner_version"
    ON application_versions ("application_name", "version_name")
    WHERE "application_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_unclaimed_version"
    ON application_versions ("version_name")
    WHERE "application_name" IS NULL;
CREATE INDEX idx_workflow_input_retention
    ON workflow_input (retention_timestamp);
CREATE INDEX idx_workflow_output_retention
    ON workflow_output (retention_timestamp);
CREATE INDEX idx_operation_outputs_retention
    ON operation_outputs (retention_timestamp);
CREATE INDEX "idx_workflow_status_in_flight_v2" ON "workflow_status" ("queue_name", "status", "priority", "created_at", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING');
CREATE INDEX "idx_workflow_status_partition_dequeue_v3" ON "workflow_status" ("queue_name", "status", "queue_partition_key", "priority", "created_at", "workflow_uuid", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING') AND "queue_partition_key" IS NOT NULL;
CREATE INDEX "idx_operation_outputs_completed_at_function_name_v2" ON "operation_outputs" ("completed_at_epoch_ms", "function_name", "application_name");
CREATE INDEX "idx_workflow_status_deadline" ON "workflow_status" ("workflow_deadline_epoch_ms") WHERE "status" IN ('ENQUEUED', 'PENDING', 'DELAYED') AND "workflow_deadline_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_application_versions_timestamp" ON "application_versions" ("version_timestamp" DESC);
CREATE INDEX "idx_application_versions_owner_timestamp" ON "application_versions" ("application_name", "version_timestamp" DESC);
COMMIT;
