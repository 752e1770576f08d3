-- Not written by hand: python -m tests.control.newest_schema
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE projects (
	name VARCHAR(100) NOT NULL,
	created_at_ms BIGINT NOT NULL,
	CONSTRAINT pk_projects PRIMARY KEY (name)
);
CREATE TABLE keys (
	id VARCHAR(40) NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	style VARCHAR(20) NOT NULL,
	scopes VARCHAR(100) NOT NULL,
	prefix VARCHAR(40) NOT NULL,
	hash VARCHAR(64) NOT NULL,
	created_at_ms BIGINT NOT NULL,
	expires_at_ms BIGINT,
	revoked_at_ms BIGINT, origins TEXT, name VARCHAR(100) DEFAULT '' NOT NULL, last_used_at_ms BIGINT, replaced_by VARCHAR(40),
	CONSTRAINT pk_keys PRIMARY KEY (id),
	CONSTRAINT fk_keys_project FOREIGN KEY(project) REFERENCES projects (name),
	CONSTRAINT uq_keys_hash UNIQUE (hash)
);
CREATE TABLE offsets (
	consumer VARCHAR(100) NOT NULL,
	position BIGINT NOT NULL,
	CONSTRAINT pk_offsets PRIMARY KEY (consumer)
);
CREATE TABLE rule_sets (
	id INTEGER NOT NULL,
	project VARCHAR(100) NOT NULL,
	version VARCHAR(16) NOT NULL,
	document TEXT NOT NULL,
	applied_at_ms BIGINT NOT NULL, from_position BIGINT DEFAULT '0' NOT NULL, source TEXT DEFAULT '' NOT NULL,
	CONSTRAINT pk_rule_sets PRIMARY KEY (id),
	CONSTRAINT fk_rule_sets_project FOREIGN KEY(project) REFERENCES projects (name)
);
CREATE INDEX ix_rule_sets_project ON rule_sets (project);
CREATE TABLE rules (
	no INTEGER NOT NULL,
	project VARCHAR(100) NOT NULL,
	kind VARCHAR(10) NOT NULL,
	rule_id VARCHAR(64) NOT NULL,
	version VARCHAR(16) NOT NULL,
	failures BIGINT NOT NULL,
	failed_event VARCHAR(32) NOT NULL,
	failed_why TEXT NOT NULL, passed_over BIGINT DEFAULT '0' NOT NULL,
	CONSTRAINT pk_rules PRIMARY KEY (no),
	CONSTRAINT fk_rules_project FOREIGN KEY(project) REFERENCES projects (name),
	CONSTRAINT uq_rules_project UNIQUE (project, kind, rule_id, version)
);
CREATE TABLE participants (
	no INTEGER NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	name VARCHAR(255) NOT NULL, whole_no BIGINT,
	CONSTRAINT pk_participants PRIMARY KEY (no),
	CONSTRAINT uq_participants_project UNIQUE (project, mode, name)
);
CREATE TABLE markers (
	event_id VARCHAR(32) NOT NULL,
	counted TEXT NOT NULL,
	CONSTRAINT pk_markers PRIMARY KEY (event_id)
)
 WITHOUT ROWID;
CREATE TABLE effects (
	event_id VARCHAR(32) NOT NULL,
	rule_no BIGINT NOT NULL,
	ordinal INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	kind VARCHAR(10) NOT NULL,
	participant_no BIGINT NOT NULL,
	at_ms BIGINT NOT NULL,
	detail TEXT NOT NULL,
	CONSTRAINT pk_effects PRIMARY KEY (event_id, rule_no, ordinal, generation)
)
 WITHOUT ROWID;
CREATE INDEX ix_effects_participant_no ON effects (participant_no, event_id);
CREATE TABLE standings (
	participant_no BIGINT NOT NULL,
	rule_no BIGINT NOT NULL,
	completions BIGINT NOT NULL,
	best TEXT NOT NULL,
	rank FLOAT NOT NULL,
	CONSTRAINT pk_standings PRIMARY KEY (participant_no, rule_no)
)
 WITHOUT ROWID;
CREATE INDEX ix_standings_rule_no ON standings (rule_no, completions, rank);
CREATE TABLE buckets (
	rule_no BIGINT NOT NULL,
	participant_no BIGINT NOT NULL,
	bucket BIGINT NOT NULL,
	value TEXT NOT NULL,
	CONSTRAINT pk_buckets PRIMARY KEY (rule_no, participant_no, bucket)
)
 WITHOUT ROWID;
CREATE TABLE awards (
	participant_no BIGINT NOT NULL,
	badge VARCHAR(64) NOT NULL,
	rule_no BIGINT NOT NULL,
	event_id VARCHAR(32) NOT NULL,
	at_ms BIGINT NOT NULL, revoked_at_ms BIGINT, revoked_why TEXT DEFAULT '' NOT NULL, stands BOOLEAN DEFAULT 1 NOT NULL,
	CONSTRAINT pk_awards PRIMARY KEY (participant_no, badge)
)
 WITHOUT ROWID;
CREATE INDEX ix_awards_badge ON awards (badge, participant_no);
CREATE TABLE points (
	event_id VARCHAR(32) NOT NULL,
	rule_no BIGINT NOT NULL,
	ordinal INTEGER NOT NULL,
	participant_no BIGINT NOT NULL,
	points BIGINT NOT NULL,
	at_ms BIGINT NOT NULL, kind VARCHAR(10) DEFAULT 'earned' NOT NULL, credited BIGINT DEFAULT '0' NOT NULL, reason TEXT DEFAULT '' NOT NULL,
	CONSTRAINT pk_points PRIMARY KEY (event_id, rule_no, ordinal)
)
 WITHOUT ROWID;
CREATE INDEX ix_points_participant_no ON points (participant_no);
CREATE TABLE replays (
	id VARCHAR(40) NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	status VARCHAR(10) NOT NULL,
	filters TEXT NOT NULL,
	ids BIGINT,
	event_ids TEXT,
	max_events BIGINT,
	force BOOLEAN NOT NULL,
	upto BIGINT NOT NULL,
	total BIGINT NOT NULL,
	replayed BIGINT NOT NULL,
	failed BIGINT NOT NULL,
	unknown BIGINT NOT NULL,
	effects BIGINT NOT NULL,
	suppressed BIGINT NOT NULL,
	errors TEXT NOT NULL,
	problem TEXT NOT NULL,
	cursor_ms BIGINT,
	cursor_position BIGINT,
	created_at_ms BIGINT NOT NULL,
	started_at_ms BIGINT,
	finished_at_ms BIGINT, rebuild BOOLEAN DEFAULT 0 NOT NULL, rules_applied VARCHAR(16) DEFAULT '' NOT NULL, corrections BIGINT DEFAULT '0' NOT NULL, corrected_points BIGINT DEFAULT '0' NOT NULL,
	CONSTRAINT pk_replays PRIMARY KEY (id)
);
CREATE INDEX ix_replays_status ON replays (status);
CREATE TABLE erased (
	position BIGINT NOT NULL,
	tail BIGINT NOT NULL,
	"key" BLOB NOT NULL,
	CONSTRAINT pk_erased PRIMARY KEY (position, tail)
)
 WITHOUT ROWID;
CREATE TABLE reaction_progress (
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	position BIGINT NOT NULL,
	behind BOOLEAN NOT NULL,
	version BIGINT NOT NULL,
	CONSTRAINT pk_reaction_progress PRIMARY KEY (project, mode)
);
CREATE TABLE passed_over (
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	rule_no BIGINT NOT NULL,
	event_id VARCHAR(32) NOT NULL,
	why TEXT NOT NULL,
	CONSTRAINT pk_passed_over PRIMARY KEY (project, mode, rule_no, event_id)
)
 WITHOUT ROWID;
CREATE TABLE attempts (
	event_id VARCHAR(32) NOT NULL,
	attempts INTEGER NOT NULL,
	CONSTRAINT pk_attempts PRIMARY KEY (event_id)
);
CREATE TABLE tenants (
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	CONSTRAINT pk_tenants PRIMARY KEY (project, mode)
)
 WITHOUT ROWID;
CREATE TABLE leases (
	name VARCHAR(100) NOT NULL,
	owner VARCHAR(40) NOT NULL,
	fence BIGINT NOT NULL,
	expires_at_ms BIGINT NOT NULL,
	CONSTRAINT pk_leases PRIMARY KEY (name)
)
 WITHOUT ROWID;
CREATE TABLE webhooks (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	id VARCHAR(80) NOT NULL,
	url TEXT NOT NULL,
	topics VARCHAR(200) NOT NULL,
	filters TEXT NOT NULL,
	status VARCHAR(10) NOT NULL,
	reason TEXT NOT NULL,
	secret VARCHAR(100) NOT NULL,
	former_secret VARCHAR(100) NOT NULL,
	overlap_until_ms BIGINT NOT NULL,
	position BIGINT NOT NULL,
	is_full BOOLEAN NOT NULL,
	failing_since_ms BIGINT NOT NULL,
	problem TEXT NOT NULL,
	created_at_ms BIGINT NOT NULL,
	CONSTRAINT uq_webhooks_project UNIQUE (project, mode, id)
);
CREATE TABLE deliveries (
	no INTEGER NOT NULL,
	webhook_no INTEGER NOT NULL,
	"key" VARCHAR(200) NOT NULL,
	topic VARCHAR(20) NOT NULL,
	body TEXT NOT NULL,
	reply_to TEXT NOT NULL,
	status VARCHAR(10) NOT NULL,
	created_at_ms BIGINT NOT NULL,
	due_at_ms BIGINT NOT NULL,
	give_up_at_ms BIGINT NOT NULL,
	ended_at_ms BIGINT,
	tries INTEGER NOT NULL,
	attempts TEXT NOT NULL,
	problem TEXT NOT NULL,
	CONSTRAINT pk_deliveries PRIMARY KEY (no),
	CONSTRAINT fk_deliveries_webhook_no FOREIGN KEY(webhook_no) REFERENCES webhooks (no),
	CONSTRAINT uq_deliveries_webhook_no UNIQUE (webhook_no, "key")
);
CREATE INDEX ix_deliveries_status ON deliveries (status, webhook_no, due_at_ms);
CREATE INDEX ix_deliveries_webhook_no ON deliveries (webhook_no, no);
CREATE TABLE journeys (
	rule_no BIGINT NOT NULL,
	definition TEXT NOT NULL,
	CONSTRAINT pk_journeys PRIMARY KEY (rule_no)
)
 WITHOUT ROWID;
CREATE TABLE runs (
	id VARCHAR(40) NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	rule_no BIGINT NOT NULL,
	journey VARCHAR(64) NOT NULL,
	participant_no BIGINT NOT NULL,
	status VARCHAR(10) NOT NULL,
	step VARCHAR(64) NOT NULL,
	waiting VARCHAR(10) NOT NULL,
	due_ms BIGINT,
	started_ms BIGINT NOT NULL,
	state TEXT NOT NULL, ended_ms BIGINT,
	CONSTRAINT pk_runs PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX ix_runs_participant_no ON runs (participant_no, status);
CREATE INDEX ix_runs_journey ON runs (project, mode, journey, status, started_ms, id);
CREATE INDEX ix_runs_due_ms ON runs (project, mode, due_ms) WHERE due_ms IS NOT NULL;
CREATE TABLE run_counts (
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	rule_no BIGINT NOT NULL,
	step VARCHAR(64) NOT NULL,
	outcome VARCHAR(10) NOT NULL,
	runs BIGINT NOT NULL,
	CONSTRAINT pk_run_counts PRIMARY KEY (project, mode, rule_no, step, outcome)
)
 WITHOUT ROWID;
CREATE TABLE emits (
	no INTEGER NOT NULL,
	"key" VARCHAR(120) NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	emitted TEXT NOT NULL,
	CONSTRAINT pk_emits PRIMARY KEY (no),
	CONSTRAINT uq_emits_key UNIQUE ("key")
);
CREATE TABLE replies (
	"key" VARCHAR(120) NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	run_id VARCHAR(40) NOT NULL,
	attempt INTEGER NOT NULL,
	at_ms BIGINT NOT NULL,
	reply TEXT,
	problem TEXT NOT NULL,
	CONSTRAINT pk_replies PRIMARY KEY ("key")
)
 WITHOUT ROWID;
CREATE TABLE quarantine (
	position BIGINT NOT NULL,
	tail BIGINT NOT NULL,
	kind INTEGER NOT NULL,
	why TEXT NOT NULL,
	payload BLOB NOT NULL,
	"key" BLOB NOT NULL,
	found_at_ms BIGINT NOT NULL,
	dropped_at_ms BIGINT,
	CONSTRAINT pk_quarantine PRIMARY KEY (position)
);
CREATE TABLE person_ids (
	no INTEGER NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	id VARCHAR(255) NOT NULL,
	person_no BIGINT NOT NULL,
	known BOOLEAN NOT NULL,
	traits TEXT NOT NULL,
	CONSTRAINT pk_person_ids PRIMARY KEY (no),
	CONSTRAINT uq_person_ids_project UNIQUE (project, mode, id)
);
CREATE INDEX ix_person_ids_person_no ON person_ids (person_no);
CREATE INDEX ix_person_ids_people ON person_ids (project, mode, no) WHERE person_no = no;
CREATE TABLE person_joins (
	kept_no BIGINT NOT NULL,
	other_no BIGINT NOT NULL,
	kind VARCHAR(10) NOT NULL,
	position BIGINT NOT NULL,
	undone BOOLEAN NOT NULL,
	CONSTRAINT pk_person_joins PRIMARY KEY (kept_no, other_no)
)
 WITHOUT ROWID;
CREATE INDEX ix_person_joins_other_no ON person_joins (other_no);
CREATE TABLE person_terms (
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	term VARCHAR(200) NOT NULL,
	id_no BIGINT NOT NULL,
	CONSTRAINT pk_person_terms PRIMARY KEY (project, mode, term, id_no)
)
 WITHOUT ROWID;
CREATE TABLE person_groups (
	no INTEGER NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	type VARCHAR(60) NOT NULL,
	"key" VARCHAR(255) NOT NULL,
	traits TEXT NOT NULL,
	first_ms BIGINT NOT NULL,
	last_ms BIGINT NOT NULL,
	CONSTRAINT pk_person_groups PRIMARY KEY (no),
	CONSTRAINT uq_person_groups_project UNIQUE (project, mode, type, "key")
);
CREATE INDEX ix_person_groups_last_ms ON person_groups (project, mode, last_ms);
CREATE TABLE group_members (
	group_no BIGINT NOT NULL,
	id_no BIGINT NOT NULL,
	joined_ms BIGINT NOT NULL,
	CONSTRAINT pk_group_members PRIMARY KEY (group_no, id_no)
)
 WITHOUT ROWID;
CREATE INDEX ix_group_members_id_no ON group_members (id_no);
CREATE TABLE overruns (
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	rule_no BIGINT NOT NULL,
	events BIGINT NOT NULL,
	first_ms BIGINT NOT NULL,
	event_id VARCHAR(32) NOT NULL,
	why TEXT NOT NULL,
	is_aside BOOLEAN NOT NULL,
	CONSTRAINT pk_overruns PRIMARY KEY (project, mode, rule_no)
)
 WITHOUT ROWID;
CREATE INDEX ix_points_at_ms ON points (at_ms);
CREATE TABLE balances (
	participant_no BIGINT NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	balance BIGINT NOT NULL,
	CONSTRAINT pk_balances PRIMARY KEY (participant_no)
)
 WITHOUT ROWID;
CREATE INDEX ix_balances_project ON balances (project, mode, balance);
CREATE TABLE grants (
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	"key" VARCHAR(255) NOT NULL,
	entry_id VARCHAR(32) NOT NULL,
	request TEXT NOT NULL,
	balance BIGINT NOT NULL,
	CONSTRAINT pk_grants PRIMARY KEY (project, mode, "key")
)
 WITHOUT ROWID;
CREATE INDEX ix_keys_project ON keys (project, mode, created_at_ms, id);
CREATE TABLE audit (
	no INTEGER NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	at_ms BIGINT NOT NULL,
	by_kind VARCHAR(10) NOT NULL,
	by_key VARCHAR(40) NOT NULL,
	by_prefix VARCHAR(40) NOT NULL,
	by_name VARCHAR(100) NOT NULL,
	address VARCHAR(255) NOT NULL,
	action VARCHAR(60) NOT NULL,
	target TEXT NOT NULL,
	person VARCHAR(16) NOT NULL,
	detail TEXT NOT NULL,
	outcome VARCHAR(10) NOT NULL,
	CONSTRAINT pk_audit PRIMARY KEY (no)
);
CREATE INDEX ix_audit_project ON audit (project, mode, no);
CREATE INDEX ix_audit_at_ms ON audit (at_ms);
CREATE TABLE continuous_exports (
	target VARCHAR(64) NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	done BIGINT NOT NULL,
	upto BIGINT,
	CONSTRAINT pk_continuous_exports PRIMARY KEY (target, project, mode)
);
CREATE TABLE console_sessions (
	id VARCHAR(40) NOT NULL,
	hash VARCHAR(64) NOT NULL,
	is_operator BOOLEAN NOT NULL,
	keys TEXT NOT NULL,
	proof VARCHAR(64) NOT NULL,
	address VARCHAR(64) NOT NULL,
	created_at_ms BIGINT NOT NULL,
	used_at_ms BIGINT NOT NULL,
	CONSTRAINT pk_console_sessions PRIMARY KEY (id),
	CONSTRAINT uq_console_sessions_hash UNIQUE (hash)
);
CREATE TABLE instance (
	id VARCHAR(16) NOT NULL, log_id VARCHAR(40), log_at TEXT, log_of VARCHAR(40),
	CONSTRAINT pk_instance PRIMARY KEY (id)
);
CREATE INDEX ix_participants_whole_no ON participants (whole_no);
CREATE TABLE shares (
	participant_no BIGINT NOT NULL,
	rule_no BIGINT NOT NULL,
	completions BIGINT NOT NULL,
	corrected BIGINT NOT NULL,
	CONSTRAINT pk_shares PRIMARY KEY (participant_no, rule_no)
)
 WITHOUT ROWID;
CREATE INDEX ix_runs_ended_ms ON runs (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE TABLE former_runs (
	participant_no BIGINT NOT NULL,
	rule_no BIGINT NOT NULL,
	journey VARCHAR(64) NOT NULL,
	runs BIGINT NOT NULL,
	last_ms BIGINT NOT NULL,
	CONSTRAINT pk_former_runs PRIMARY KEY (participant_no, rule_no)
)
 WITHOUT ROWID;
CREATE TABLE erasures (
	id VARCHAR(40) NOT NULL,
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	status VARCHAR(10) NOT NULL,
	ids TEXT NOT NULL,
	position BIGINT,
	participants TEXT NOT NULL,
	removed TEXT NOT NULL,
	requested_at_ms BIGINT NOT NULL,
	finished_at_ms BIGINT, marks TEXT DEFAULT '[]' NOT NULL,
	CONSTRAINT pk_erasures PRIMARY KEY (id)
);
CREATE INDEX ix_erasures_project ON erasures (project, mode, id);
CREATE INDEX ix_erasures_open ON erasures (id) WHERE status != 'done';
CREATE TABLE retention (
	project VARCHAR(100) NOT NULL,
	mode VARCHAR(4) NOT NULL,
	keep_ms BIGINT NOT NULL,
	set_at_ms BIGINT NOT NULL,
	pruned_at_ms BIGINT,
	pruned BIGINT DEFAULT '0' NOT NULL,
	CONSTRAINT pk_retention PRIMARY KEY (project, mode)
)
 WITHOUT ROWID;
CREATE TABLE backup_folders (
	path TEXT NOT NULL,
	used_at_ms BIGINT NOT NULL,
	CONSTRAINT pk_backup_folders PRIMARY KEY (path)
);
CREATE TABLE firings (
	rule_no BIGINT NOT NULL,
	mode VARCHAR(4) NOT NULL,
	fired BIGINT NOT NULL,
	last_event VARCHAR(32) NOT NULL,
	CONSTRAINT pk_firings PRIMARY KEY (rule_no, mode)
)
 WITHOUT ROWID;
CREATE TABLE key_uses (
	key_id VARCHAR(40) NOT NULL,
	from_ms BIGINT NOT NULL,
	kind VARCHAR(20) NOT NULL,
	route VARCHAR(120) NOT NULL,
	client VARCHAR(60) NOT NULL,
	requests BIGINT NOT NULL,
	last_ms BIGINT NOT NULL,
	CONSTRAINT pk_key_uses PRIMARY KEY (key_id, from_ms, kind, route, client)
)
 WITHOUT ROWID;
INSERT INTO alembic_version VALUES ('0027')
