PRAGMA user_version = 2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE instance (
    testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, worker TEXT NOT NULL, target TEXT NOT NULL,
    state TEXT NOT NULL, bootstrap TEXT NOT NULL, flushed INTEGER NOT NULL,
    PRIMARY KEY (testbed_name, seq)
  );
INSERT INTO instance VALUES('here-cleared',7,'worker-here-cleared','01HGYSTRYRBS0DG7J6E22ZS3M5','destroying','bootstrap',0);
INSERT INTO instance VALUES('far-cleared',7,'worker-far-cleared','01HGYSTRYRBS0DG7J6E22ZS3M5','destroying','bootstrap',0);
INSERT INTO instance VALUES('service-cleared',7,'worker-service-cleared','01HGYSTRYRBS0DG7J6E22ZS3M5','destroying','bootstrap',0);
INSERT INTO instance VALUES('here-destroyed',7,'worker-here-destroyed','01HGYSTRYRBS0DG7J6E22ZS3M5','destroyed','bootstrap',0);
INSERT INTO instance VALUES('rust-unknown',7,'worker-rust-unknown','01HGYSTRYRBS0DG7J6E22ZS3M5','running','bootstrap',0);
INSERT INTO instance VALUES('rust-here',7,'worker-rust-here','01HGYSTRYRBS0DG7J6E22ZS3M5','running','bootstrap',0);
INSERT INTO instance VALUES('rust-ssh',7,'worker-rust-ssh','01HGYSTRYRBS0DG7J6E22ZS3M5','destroying','bootstrap',0);
INSERT INTO instance VALUES('rust-service',7,'worker-rust-service','01HGYSTRYRBS0DG7J6E22ZS3M5','running','bootstrap',0);
INSERT INTO instance VALUES('rust-cleared',7,'worker-rust-cleared','01HGYSTRYRBS0DG7J6E22ZS3M5','destroyed','bootstrap',0);
INSERT INTO instance VALUES('rust-destroyed',7,'worker-rust-destroyed','01HGYSTRYRBS0DG7J6E22ZS3M5','destroyed','bootstrap',0);
CREATE TABLE factory_schema (version INTEGER NOT NULL) STRICT;
INSERT INTO factory_schema VALUES(6);
CREATE TABLE factory_instance (
     testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, phase TEXT NOT NULL, target TEXT NOT NULL,
     job TEXT, is_bound INTEGER NOT NULL, cookie TEXT NOT NULL, place TEXT NOT NULL,
     leased_at TEXT NOT NULL, create_sent_at TEXT, worker TEXT, bootstrap TEXT, went_at TEXT,
     is_online INTEGER NOT NULL, is_flushed INTEGER NOT NULL, limits TEXT NOT NULL,
     end_reason TEXT, untold TEXT, begun_ms INTEGER NOT NULL, ended_ms INTEGER,
     PRIMARY KEY (testbed_name, seq)
   ) STRICT;
INSERT INTO factory_instance VALUES('here',7,'running','01HGYSTRYRBS0DG7J6E22ZS3M5','job-here',1,'00112233445566778899aabbccddeeff','{"way":"local","directory":"/work/here_7","agent":"external"}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}','worker-here','bootstrap','{"bootId":"boot-1","uptimeMs":9999200}',1,1,'{"startTimeoutMs":300000,"jobTimeoutMs":7200000,"silenceTimeoutMs":600000}',NULL,NULL,1700000000000,NULL);
INSERT INTO factory_instance VALUES('here-preparing',7,'preparing','01HGYSTRYRBS0DG7J6E22ZS3M5','job-here-preparing',1,'00112233445566778899aabbccddeeff','{"way":"local","directory":"/work/here-preparing_7","agent":"external"}','{"bootId":"boot-1","uptimeMs":9999000}',NULL,NULL,NULL,NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1700000000000,NULL);
INSERT INTO factory_instance VALUES('here-creating',7,'creating','01HGYSTRYRBS0DG7J6E22ZS3M5','job-here-creating',1,'00112233445566778899aabbccddeeff','{"way":"local","directory":"/work/here-creating_7","agent":"built-in"}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}',NULL,NULL,NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1700000000000,NULL);
INSERT INTO factory_instance VALUES('far',7,'starting','01HGYSTRYRBS0DG7J6E22ZS3M5','job-far',1,'00112233445566778899aabbccddeeff','{"way":"ssh","directory":"/work/far_7","agent":"built-in","ssh":{"host":"bench-1","user":"lab","port":2222,"key":"/home/lab/key","hostKey":"ssh-ed25519 AAAA","elevation":"sudo","uid":1001,"machine":"m1"}}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}','worker-far','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1700000000000,NULL);
INSERT INTO factory_instance VALUES('far-first-days',7,'running','01HGYSTRYRBS0DG7J6E22ZS3M5','job-far-first-days',1,'00112233445566778899aabbccddeeff','{"way":"ssh","directory":"/work/far-first-days_7","agent":"external","ssh":{"host":"bench-2","user":"lab","port":null,"key":null,"hostKey":null,"elevation":null,"uid":0}}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}','worker-far-first-days','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1700000000000,NULL);
INSERT INTO factory_instance VALUES('service',7,'created','01HGYSTRYRBS0DG7J6E22ZS3M5','job-service',1,'00112233445566778899aabbccddeeff','{"way":"sp-runner","directory":"/work/service_7","agent":"built-in","spRunnerUrl":"http://127.0.0.1:9000"}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}','worker-service','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1700000000000,NULL);
INSERT INTO factory_instance VALUES('here-cleared',7,'destroying','01HGYSTRYRBS0DG7J6E22ZS3M5','job-here-cleared',1,'00112233445566778899aabbccddeeff','{"way":"cleared","directory":"/work/here-cleared_7","agent":"external"}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}','worker-here-cleared','bootstrap','{"bootId":"boot-1","uptimeMs":9999200}',0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}','an operator cleared the testbed: it was unplugged','an operator cleared the testbed: it was unplugged',1700000000000,NULL);
INSERT INTO factory_instance VALUES('here-cleared-early',7,'destroying','01HGYSTRYRBS0DG7J6E22ZS3M5','job-here-cleared-early',1,'00112233445566778899aabbccddeeff','{"way":"cleared","directory":"/work/here-cleared-early_7","agent":"external"}','{"bootId":"boot-1","uptimeMs":9999000}',NULL,NULL,NULL,NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}','an operator cleared the testbed: it was unplugged','an operator cleared the testbed: it was unplugged',1700000000000,NULL);
INSERT INTO factory_instance VALUES('far-cleared',7,'destroying','01HGYSTRYRBS0DG7J6E22ZS3M5','job-far-cleared',1,'00112233445566778899aabbccddeeff','{"way":"cleared","directory":"/work/far-cleared_7","agent":"external","ssh":{"host":"bench-2","user":"lab","port":null,"key":null,"hostKey":null,"elevation":null,"uid":0,"machine":"m2"}}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}','worker-far-cleared','bootstrap','{"bootId":"boot-1","uptimeMs":9999200}',0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}','an operator cleared the testbed: it was unplugged','an operator cleared the testbed: it was unplugged',1700000000000,NULL);
INSERT INTO factory_instance VALUES('service-cleared',7,'stopped','01HGYSTRYRBS0DG7J6E22ZS3M5','job-service-cleared',1,'00112233445566778899aabbccddeeff','{"way":"cleared","directory":"/work/service-cleared_7","agent":"built-in","spRunnerUrl":"http://127.0.0.1:9000"}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}','worker-service-cleared','bootstrap','{"bootId":"boot-1","uptimeMs":9999200}',0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}','the job is done',NULL,1700000000000,NULL);
INSERT INTO factory_instance VALUES('here-dropped',7,'dropped','01HGYSTRYRBS0DG7J6E22ZS3M5','job-here-dropped',1,'00112233445566778899aabbccddeeff','{"way":"local","directory":"/work/here-dropped_7","agent":"external"}','{"bootId":"boot-1","uptimeMs":9999000}',NULL,NULL,NULL,NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}','the server no longer leases the job to us',NULL,1700000000000,2000);
INSERT INTO factory_instance VALUES('here-destroyed',7,'destroyed','01HGYSTRYRBS0DG7J6E22ZS3M5','job-here-destroyed',1,'00112233445566778899aabbccddeeff','{"way":"local","directory":"/work/here-destroyed_7","agent":"external"}','{"bootId":"boot-1","uptimeMs":9999000}','{"bootId":"boot-1","uptimeMs":9999100}','worker-here-destroyed','bootstrap','{"bootId":"boot-1","uptimeMs":9999200}',0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}','the job is done',NULL,1700000000000,3000);
INSERT INTO factory_instance VALUES('rust-unknown',7,'running','01HGYSTRYRBS0DG7J6E22ZS3M5',NULL,0,'','{"way":"unknown","directory":"/work/rust-unknown_7","agent":"external"}','{"bootId":"","uptimeMs":0}',NULL,'worker-rust-unknown','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1000,NULL);
INSERT INTO factory_instance VALUES('rust-here',7,'running','01HGYSTRYRBS0DG7J6E22ZS3M5',NULL,0,'','{"way":"local","directory":"/work/rust-here_7","agent":"external"}','{"bootId":"","uptimeMs":0}',NULL,'worker-rust-here','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1000,NULL);
INSERT INTO factory_instance VALUES('rust-ssh',7,'destroying','01HGYSTRYRBS0DG7J6E22ZS3M5',NULL,0,'','{"way":"ssh","directory":"/work/rust-ssh_7","agent":"external"}','{"bootId":"","uptimeMs":0}',NULL,'worker-rust-ssh','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1000,NULL);
INSERT INTO factory_instance VALUES('rust-service',7,'running','01HGYSTRYRBS0DG7J6E22ZS3M5',NULL,0,'','{"way":"sp-runner","directory":"/work/rust-service_7","agent":"external"}','{"bootId":"","uptimeMs":0}',NULL,'worker-rust-service','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1000,NULL);
INSERT INTO factory_instance VALUES('rust-cleared',7,'destroying','01HGYSTRYRBS0DG7J6E22ZS3M5',NULL,0,'','{"way":"cleared","directory":"/work/rust-cleared_7","agent":"external"}','{"bootId":"","uptimeMs":0}',NULL,'worker-rust-cleared','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}','it was marked destroyed in the database','it was marked destroyed in the database',1000,NULL);
INSERT INTO factory_instance VALUES('rust-destroyed',7,'destroyed','01HGYSTRYRBS0DG7J6E22ZS3M5',NULL,0,'','{"way":"unknown","directory":"/work/rust-destroyed_7","agent":"external"}','{"bootId":"","uptimeMs":0}',NULL,'worker-rust-destroyed','bootstrap',NULL,0,0,'{"startTimeoutMs":300000,"jobTimeoutMs":null,"silenceTimeoutMs":null}',NULL,NULL,1000,1000);
CREATE TABLE factory_health (
     testbed_name TEXT PRIMARY KEY, strikes INTEGER NOT NULL, retry_at TEXT NOT NULL, reason TEXT NOT NULL
   ) STRICT;
CREATE TABLE factory_trouble (
     testbed_name TEXT PRIMARY KEY, reason TEXT NOT NULL, since_ms INTEGER NOT NULL, recoveries INTEGER NOT NULL
   ) STRICT;
CREATE TABLE factory_word (
     testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, because TEXT NOT NULL, is_obeyed INTEGER, answer TEXT,
     PRIMARY KEY (testbed_name, seq)
   ) STRICT;
CREATE TABLE factory_reading (id INTEGER PRIMARY KEY CHECK (id = 1), reading TEXT NOT NULL) STRICT;
CREATE INDEX instance_active ON instance (state) WHERE state NOT IN ('destroyed');
CREATE UNIQUE INDEX factory_instance_open ON factory_instance (testbed_name)
     WHERE phase NOT IN ('destroyed', 'dropped') AND cookie <> '';
CREATE INDEX factory_instance_ended ON factory_instance (ended_ms) WHERE ended_ms IS NOT NULL;
COMMIT;
