/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "cli/inputs.h"
#include "cli/render.h"
#include "release/affected.h"

struct affected_args {
	const char *base, *ref, *progress;
	bool work_tree, names, json;
};

#define OPT(field) offsetof(struct affected_args, field)

static const struct option options[] = {
	{"base", 0, OPTION_TEXT, "REF", OPT(base),
		"compare with this commit (default: where REF left main; on main, the commit before it)"},
	{"ref", 0, OPTION_TEXT, "REF", OPT(ref), "the commit to look at (default: HEAD)"},
	{"work-tree", 'w', OPTION_FLAG, NULL, OPT(work_tree),
		"look at the work tree as if all of it were committed"},
	{"names", 0, OPTION_FLAG, NULL, OPT(names), "print the affected containers' names only, a line each"},
	{"progress", 0, OPTION_TEXT, "MODE", OPT(progress),
		"of steps that pipelines ask for: auto, tty, plain, json or quiet (default)"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print all containers as JSON"},
};

static json_t *commit_json(const struct commit *c)
{
	if (!*c->id)
		return json_null();
	json_t *o = json_object();
	json_set_text(o, "commit", c->id);
	json_set_text(o, "subject", c->subject);
	return o;
}

static json_t *build_json(const struct affected_build *b)
{
	char text[DIGEST_TEXT_MAX];
	json_t *o = json_object(), *inputs = json_object();

	json_set_text(o, "container", b->container);
	json_set_text(o, "kind", build_kind_name(b->kind));
	json_set_text(o, "state", affected_state_name(b->state));
	if (digest_is_set(&b->base_inputs))
		json_set_text(inputs, "base", digest_text(&b->base_inputs, text));
	if (digest_is_set(&b->head_inputs))
		json_set_text(inputs, "head", digest_text(&b->head_inputs, text));
	json_object_set_new(o, "inputs", inputs);
	json_object_set_new(o, "reasons", input_changes_json(&b->changes));
	json_set_text(o, "error", b->error);
	return o;
}

static void print_json(struct cli *c, const struct affected *a)
{
	AUTO_JSON json_t *o = json_object();
	json_t *builds = json_array();

	json_object_set_new(o, "base", commit_json(&a->base));
	json_object_set_new(o, "head", commit_json(&a->head));
	for (size_t i = 0; i < a->builds.len; i++)
		json_array_append_new(builds, build_json(vec_at(&a->builds, i)));
	json_object_set_new(o, "builds", builds);
	json_object_set_new(o, "gone", json_from_strings(strvec_list(&a->gone)));
	AUTO_FREE char *text = json_dump_pretty(o);
	fprintf(c->out, "%s\n", text);
}

static bool is_affected(const struct affected_build *b)
{
	return b->state == AFFECTED_CHANGED || b->state == AFFECTED_NEW;
}

static void print_names(struct cli *c, const struct affected *a)
{
	const char *last = NULL;

	for (size_t i = 0; i < a->builds.len; i++) {
		const struct affected_build *b = vec_at(&a->builds, i);
		if (is_affected(b) && !cstr_eq(last, b->container))
			fprintf(c->out, "%s\n", last = b->container);
	}
}

static void print_people(struct cli *c, const struct affected *a)
{
	size_t told = 0; /* that it is affected, or that it cannot be told */

	for (size_t i = 0; i < a->builds.len; i++) {
		const struct affected_build *b = vec_at(&a->builds, i);
		if (is_affected(b))
			fprintf(c->out, "%s (%s)\n", b->container, build_kind_name(b->kind));
		else if (b->state == AFFECTED_UNTOLD)
			fprintf(c->out, "%s (%s) could not be evaluated: %s\n", b->container,
				build_kind_name(b->kind), b->error);
		input_changes_print(c->out, &b->changes, "    ");
		told += b->state != AFFECTED_NOT;
	}
	for (size_t i = 0; i < a->gone.len; i++)
		fprintf(c->out, "%s is gone\n", a->gone.ptr[i]);
	if (!told)
		fprintf(c->err, "no container of %zu is affected\n", a->builds.len);
}

/* What was compared, and what was not looked at: beside the answer, which may be piped. */
static void print_scope(struct cli *c, const struct affected *a)
{
	fprintf(c->err, "%s compared with %s (%s)\n", a->head.short_id,
		*a->base.id ? a->base.short_id : "nothing", a->base_is);
	for (size_t i = 0; i < a->dirty.len; i++)
		fprintf(c->err, "%s%s%s", i ? ", " : "not committed, so not looked at: ", a->dirty.ptr[i],
			i + 1 < a->dirty.len ? "" : " (--work-tree looks)\n");
}

static struct err *untold(const struct affected *a)
{
	size_t count = 0;

	for (size_t i = 0; i < a->builds.len; i++)
		count += ((const struct affected_build *)vec_at(&a->builds, i))->state == AFFECTED_UNTOLD;
	return count ? err_new(ERR_UNAVAILABLE, "%zu build%s could not be evaluated", count, plural(count))
		     : NULL;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	const struct affected_args *aa = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;
	AUTO(display_freep) struct display *d = NULL;
	AUTO(affected_fini) struct affected found = {0};

	if (aa->work_tree && aa->ref)
		return err_new(ERR_USAGE, "--work-tree and --ref are two things to look at: give one");
	TRY(repo_open(".", &repo));
	TRY(engine_open(&c->engine, &eng));
	TRY(display_new(c->err, aa->progress ? aa->progress : "quiet", NULL, &d));
	const struct affected_request rq = {
		.repo = repo,
		.base = aa->base,
		.head = aa->ref,
		.work_tree = aa->work_tree,
		.names = operands,
		.events = display_events(d),
		.cancel = c->cancel,
	};
	struct err *e = affected_find(eng, &rq, &found);
	display_end(d);
	TRY(e);
	print_scope(c, &found);
	if (aa->json)
		print_json(c, &found);
	else if (aa->names)
		print_names(c, &found);
	else
		print_people(c, &found);
	return untold(&found);
}

const struct command cmd_affected = {
	.name = "affected",
	.summary = "containers whose build would come out different than at an earlier commit, and why",
	.operands = "[NAME...]",
	.details = "Both commits' builds are evaluated: sources are pinned, pipelines run, and what each "
		   "step would "
		   "do and read is compared; no step runs but those whose output a pipeline asks for. A file "
		   "that "
		   "no step reads affects nothing; a helper, a base image or a build argument that changes a "
		   "step "
		   "does. Exit status 0 whether any is affected or not, 1 when of one it cannot be told.",
	.max = UNLIMITED,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct affected_args),
	.builds = true,
	.run = run,
};
