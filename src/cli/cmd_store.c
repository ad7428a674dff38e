/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "registry/collect.h"
#include "registry/registry.h"
#include "registry/upkeep.h"
#include "release/pinned.h"
#include "release/runs.h"
#include "store/maintain.h"

/* What the history of runs keeps whatever their age: what "cooper logs" lists. */
#define RUNS_KEPT 20
#define RUNS_KEPT_FOR (14 * 86400 * CLOCK_SECOND)

struct store_args {
	bool json, all, dry_run, repair, scrub;
	const char *keep;
	uint64_t keep_bytes;
};

#define OPT(field) offsetof(struct store_args, field)

static const struct option du_options[] = {
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};
static const struct option gc_options[] = {
	{"all", 'a', OPTION_FLAG, NULL, OPT(all), "forget everything that could be built or pulled again"},
	{"dry-run", 'n', OPTION_FLAG, NULL, OPT(dry_run), "only say what would be freed"},
	{"keep-days", 0, OPTION_TEXT, "DAYS", OPT(keep), "keep what was used in the last DAYS"},
	{"keep-bytes", 0, OPTION_NUMBER, "BYTES", OPT(keep_bytes), "shrink the cache to this size"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};
static const struct option verify_options[] = {
	{"repair", 0, OPTION_FLAG, NULL, OPT(repair), "set damaged blobs aside and forget what needs them"},
	{"scrub", 0, OPTION_FLAG, NULL, OPT(scrub), "hash nothing: say what cooper serve's scrub has found"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};

struct count {
	const char *name;
	uint64_t n, bytes;
};

/* let_go: for JSON, what the registry need not keep; may be NULL. */
static void print_counts(struct cli *c, bool json, json_t *let_go, const struct count *rows, size_t n)
{
	AUTO_JSON json_t *o = json_object();
	char size[CLOCK_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		if (json) {
			json_t *row = json_object();
			json_object_set_new(row, "count", json_integer((json_int_t)rows[i].n));
			json_object_set_new(row, "bytes", json_integer((json_int_t)rows[i].bytes));
			json_object_set_new(o, rows[i].name, row);
		} else if (rows[i].bytes || rows[i].n) {
			fprintf(c->out, "%-14s %8llu  %s\n", rows[i].name, (unsigned long long)rows[i].n,
				rows[i].bytes ? size_text(rows[i].bytes, size) : "");
		}
	}
	if (!json)
		return;
	if (let_go)
		json_object_set(o, "let go", let_go);
	AUTO_FREE char *text = json_dump_pretty(o);
	fprintf(c->out, "%s\n", text);
}

static struct err *run_du(struct cli *c, void *args, const struct strvec *operands)
{
	struct store_args *sa = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct store_usage u = {0};

	(void)operands;
	TRY(engine_open(&c->engine, &eng));
	TRY(store_usage(engine_store(eng), &u));
	const struct count rows[] = {
		{"blobs", u.blob_count, u.blob_bytes},
		{"trees", u.tree_count, u.tree_bytes},
		{"volumes", u.volume_count, u.volume_bytes},
		{"records", u.record_count, 0},
		{"reclaimable", 0, u.reclaimable_bytes},
		{"disk free", 0, u.free_bytes},
	};
	if (!sa->json)
		fprintf(c->out, "%s\n", engine_home(eng));
	print_counts(c, sa->json, NULL, rows, ARRAY_LEN(rows));
	return NULL;
}

static struct err *prune_runs(struct engine *eng, int64_t keep_for, uint64_t *removed)
{
	AUTO(runs_closep) struct runs *runs = NULL;

	TRY(runs_open(engine_home(eng), &runs));
	return runs_prune(runs, keep_for ? keep_for : RUNS_KEPT_FOR, RUNS_KEPT, removed);
}

static void print_gone(void *ctx, const char *name, const char *why)
{
	struct cli *c = ctx;

	fprintf(c->out, "%s: %s\n", name, why);
}

static void add_gone(void *ctx, const char *name, const char *why)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_text(name));
	json_object_set_new(o, "why", json_text(why));
	json_array_append_new(ctx, o);
}

/* What the registry's settings let go of; of a dry run the names of the records go to gone. */
static struct err *collect_registry(struct cli *c, struct engine *eng, const struct store_args *sa,
	struct registry_collected *did, json_t *names, struct map *gone)
{
	const struct registry_policy *policy = engine_registry_policy(eng);
	AUTO(map_freep) struct map *pins = map_new(NULL);
	struct registry_collect_options opt = {
		.policy = policy,
		.pinned = pins,
		.dry_run = sa->dry_run,
		.report = sa->json ? add_gone : print_gone,
		.ctx = sa->json ? (void *)names : (void *)c,
		.gone = gone,
	};

	if (policy->retention.len || policy->untagged)
		TRY(release_pinned(&policy->pinned_in, pins));
	return registry_collect(engine_store(eng), &opt, c->cancel, did);
}

/* All that comes before the store's own gc, which cannot know what the registry would keep. */
static struct err *let_go(struct cli *c, struct engine *eng, const struct store_args *sa,
	struct registry_collected *did, json_t *names, struct map *gone)
{
	struct store *s = engine_store(eng);

	TRY(store_sweep(s));
	TRY(store_sync_trees(s));
	TRY(collect_registry(c, eng, sa, did, names, gone));
	/* The lease of this process keeps what that has just read. */
	return store_lease_trim(s, clock_now());
}

static struct err *run_gc(struct cli *c, void *args, const struct strvec *operands)
{
	struct store_args *sa = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct store_gc_options opt = {.keep_bytes = sa->keep_bytes, .all = sa->all, .dry_run = sa->dry_run};
	struct store_gc_result r = {0};
	struct registry_collected did = {0};
	AUTO(map_freep) struct map *gone = map_new(NULL);
	AUTO_JSON json_t *names = json_array();
	uint64_t days = 0, logs = 0, runs = 0;

	(void)operands;
	if (sa->keep && (!str_to_u64(str_c(sa->keep), &days) || days > 36500))
		return err_new(ERR_USAGE, "--keep-days takes a number of days, not \"%s\"", sa->keep);
	opt.keep_for = (int64_t)days * 86400 * CLOCK_SECOND;
	TRY(engine_open(&c->engine, &eng));
	engine_gc_defaults(eng, &opt);
	struct err *e = let_go(c, eng, sa, &did, names, gone);
	if (err_kind(e) == ERR_NO_SPACE && !sa->dry_run && store_reserve_release(engine_store(eng))) {
		err_ignore(e, "tried again with what was kept aside for this");
		json_array_clear(names);
		e = let_go(c, eng, sa, &did, names, gone);
	}
	TRY(e);
	if (!opt.dry_run) {
		TRY(engine_prune_logs(eng, &logs));
		TRY(prune_runs(eng, opt.keep_for, &runs));
	}
	opt.without = gone;
	TRY(store_gc(engine_store(eng), &opt, c->cancel, &r));
	const struct count rows[] = {
		{"tags", did.tags, 0},
		{"manifests", did.manifests, 0},
		{"records", r.records, 0},
		{"layers", r.layers, 0},
		{"trees", r.trees, 0},
		{"blobs", r.blobs, 0},
		{"volumes", r.volumes, 0},
		{"runs", runs, 0},
		{sa->dry_run ? "would free" : "freed", 0, r.bytes},
	};
	print_counts(c, sa->json, names, rows, ARRAY_LEN(rows));
	if (!sa->json && !did.tags && !did.manifests && !r.records && !r.layers && !r.trees && !r.blobs &&
		!r.volumes && !logs && !runs)
		fprintf(c->out, "nothing to free\n");
	return NULL;
}

static void on_problem(void *ctx, const char *problem)
{
	struct cli *c = ctx;

	fprintf(c->err, "problem: %s\n", problem);
}

static int64_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_pass(struct cli *c, const char *what, const json_t *pass)
{
	char from[CLOCK_TEXT_MAX], to[CLOCK_TEXT_MAX], size[CLOCK_TEXT_MAX];

	if (!json_is_object(pass)) {
		fprintf(c->out, "%s: none\n", what);
		return;
	}
	clock_rfc3339(number(pass, "started"), from);
	fprintf(c->out, "%s: %s to %s, %lld blobs, %s, %lld bad\n", what, from,
		json_object_get(pass, "ended") ? clock_rfc3339(number(pass, "ended"), to) : "now",
		(long long)number(pass, "blobs"), size_text((uint64_t)number(pass, "bytes"), size),
		(long long)number(pass, "problems"));
}

static void print_finding(struct cli *c, const json_t *f, bool healed)
{
	const json_t *lost = json_object_get(f, "lost");
	char at[CLOCK_TEXT_MAX];

	fprintf(c->out, "%s: %s%s\n", clock_rfc3339(number(f, "at"), at),
		json_string_value(json_object_get(f, "why")), healed ? " (it was stored again since)" : "");
	for (size_t i = 0; i < json_array_size(lost); i++) {
		const char *name = json_string_value(json_array_get(lost, i));
		if (cstr_starts(name, "tag/"))
			fprintf(c->out, "  with it went %s\n", name + 4);
	}
}

static struct err *run_scrub_report(struct cli *c, struct engine *eng, bool json)
{
	AUTO_JSON json_t *report = NULL;
	uint64_t open = 0;

	TRY(registry_scrub_report(engine_store(eng), &report));
	const json_t *findings = json_object_get(report, "findings");
	if (json) {
		AUTO_FREE char *text = json_dump_pretty(report);
		fprintf(c->out, "%s\n", text);
	} else {
		print_pass(c, "last pass", json_object_get(report, "last"));
		print_pass(c, "this pass", json_object_get(report, "pass"));
	}
	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *f = json_array_get(findings, i);
		bool healed = json_is_true(json_object_get(f, "healed"));
		open += !healed;
		if (!json)
			print_finding(c, f, healed);
	}
	if (!open)
		return NULL;
	return err_hint(err_new(ERR_VIOLATION, "%llu blob%s bad and not stored again since",
				(unsigned long long)open, open == 1 ? " is" : "s are"),
		"push or release what was lost once more");
}

static struct err *run_verify(struct cli *c, void *args, const struct strvec *operands)
{
	struct store_args *sa = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct store_verify_result r = {0};

	(void)operands;
	TRY(engine_open(&c->engine, &eng));
	if (sa->scrub)
		return run_scrub_report(c, eng, sa->json);
	TRY(store_verify(engine_store(eng), sa->repair, c->cancel, on_problem, c, &r));
	if (r.repaired)
		TRY(registry_recount(engine_store(eng)));
	const struct count rows[] = {
		{"blobs", r.blobs, r.blob_bytes},
		{"trees", r.trees, 0},
		{"layers", r.layers, 0},
		{"records", r.records, 0},
		{"problems", r.problems, 0},
		{"repaired", r.repaired, 0},
	};
	print_counts(c, sa->json, NULL, rows, ARRAY_LEN(rows));
	if (r.problems > r.repaired)
		return err_hint(err_new(ERR_VIOLATION, "%llu problem%s",
					(unsigned long long)(r.problems - r.repaired),
					plural(r.problems - r.repaired)),
			"cooper store verify --repair sets damaged parts aside; the next build makes them "
			"again");
	if (!r.problems && !sa->json)
		fprintf(c->out, "the store is sound\n");
	return NULL;
}

const struct command cmd_store_du = {
	.name = "store du",
	.summary = "what the store takes on disk",
	.operands = "",
	.options = du_options,
	.option_count = ARRAY_LEN(du_options),
	.args_size = sizeof(struct store_args),
	.builds = true,
	.run = run_du,
};

const struct command cmd_store_gc = {
	.name = "store gc",
	.summary = "free what nothing refers to and what was not used for long",
	.operands = "",
	.details = "May run beside builds, pushes and pulls. Named images are kept, and the newest 20 runs; "
		   "released "
		   "tags, too, unless the machine's settings have a rule of retention that lets them go.",
	.options = gc_options,
	.option_count = ARRAY_LEN(gc_options),
	.args_size = sizeof(struct store_args),
	.builds = true,
	.run = run_gc,
};

const struct command cmd_store_verify = {
	.name = "store verify",
	.summary = "hash every blob again and check that nothing is missing",
	.operands = "",
	.options = verify_options,
	.option_count = ARRAY_LEN(verify_options),
	.args_size = sizeof(struct store_args),
	.builds = true,
	.run = run_verify,
};
