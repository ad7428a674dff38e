/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "registry/registry.h"
#include "release/runs.h"
#include "store/maintain.h"

/* What the history of runs keeps whatever their age: what "cooper logs" lists. */
#define RUNS_KEPT 20
#define RUNS_KEPT_FOR (14 * 86400 * CLOCK_SECOND)

struct store_args {
	bool json, all, dry_run, repair;
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
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};

struct count {
	const char *name;
	uint64_t n, bytes;
};

static void print_counts(struct cli *c, bool json, const struct count *rows, size_t n)
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
	print_counts(c, sa->json, rows, ARRAY_LEN(rows));
	return NULL;
}

static struct err *prune_runs(struct engine *eng, int64_t keep_for, uint64_t *removed)
{
	AUTO(runs_closep) struct runs *runs = NULL;

	TRY(runs_open(engine_home(eng), &runs));
	return runs_prune(runs, keep_for ? keep_for : RUNS_KEPT_FOR, RUNS_KEPT, removed);
}

static struct err *run_gc(struct cli *c, void *args, const struct strvec *operands)
{
	struct store_args *sa = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct store_gc_options opt = {.keep_bytes = sa->keep_bytes, .all = sa->all, .dry_run = sa->dry_run};
	struct store_gc_result r = {0};
	uint64_t days = 0, logs = 0, runs = 0;

	(void)operands;
	if (sa->keep && (!str_to_u64(str_c(sa->keep), &days) || days > 36500))
		return err_new(ERR_USAGE, "--keep-days takes a number of days, not \"%s\"", sa->keep);
	opt.keep_for = (int64_t)days * 86400 * CLOCK_SECOND;
	TRY(engine_open(&c->engine, &eng));
	engine_gc_defaults(eng, &opt);
	TRY(store_sweep(engine_store(eng)));
	TRY(store_sync_trees(engine_store(eng)));
	if (!opt.dry_run) {
		TRY(registry_prune(engine_store(eng), 0, c->cancel, NULL));
		TRY(engine_prune_logs(eng, &logs));
		TRY(prune_runs(eng, opt.keep_for, &runs));
	}
	TRY(store_gc(engine_store(eng), &opt, c->cancel, &r));
	const struct count rows[] = {
		{"records", r.records, 0},
		{"layers", r.layers, 0},
		{"trees", r.trees, 0},
		{"blobs", r.blobs, 0},
		{"volumes", r.volumes, 0},
		{"runs", runs, 0},
		{sa->dry_run ? "would free" : "freed", 0, r.bytes},
	};
	print_counts(c, sa->json, rows, ARRAY_LEN(rows));
	if (!sa->json && !r.records && !r.layers && !r.trees && !r.blobs && !r.volumes && !logs && !runs)
		fprintf(c->out, "nothing to free\n");
	return NULL;
}

static void on_problem(void *ctx, const char *problem)
{
	struct cli *c = ctx;

	fprintf(c->err, "problem: %s\n", problem);
}

static struct err *run_verify(struct cli *c, void *args, const struct strvec *operands)
{
	struct store_args *sa = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct store_verify_result r = {0};

	(void)operands;
	TRY(engine_open(&c->engine, &eng));
	TRY(store_verify(engine_store(eng), sa->repair, c->cancel, on_problem, c, &r));
	const struct count rows[] = {
		{"blobs", r.blobs, r.blob_bytes},
		{"trees", r.trees, 0},
		{"layers", r.layers, 0},
		{"records", r.records, 0},
		{"problems", r.problems, 0},
		{"repaired", r.repaired, 0},
	};
	print_counts(c, sa->json, rows, ARRAY_LEN(rows));
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
	.details =
		"May run beside builds, pushes and pulls. Named images and released tags are kept, and the "
		"newest 20 runs.",
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
