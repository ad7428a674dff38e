/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/build_args.h"
#include "cli/cmds.h"
#include "cli/inputs.h"
#include "cli/job_text.h"
#include "cli/render.h"
#include "cli/via.h"
#include "release/promote.h"

struct promote_args {
	const char *progress, *via;
	struct strvec allow;
	bool dry_run, commit, env, allow_downgrade, json;
};

#define OPT(field) offsetof(struct promote_args, field)

static const struct option options[] = {
	{"dry-run", 'n', OPTION_FLAG, NULL, OPT(dry_run), "show what would be done, and why"},
	{"commit", 0, OPTION_FLAG, NULL, OPT(commit), "commit the changed manifests, saying what and why"},
	{"env", 0, OPTION_FLAG, NULL, OPT(env), "also change images named in texts of env and args"},
	{"allow-downgrade", 0, OPTION_FLAG, NULL, OPT(allow_downgrade),
		"also where main has an older version than is pinned"},
	{"via", 0, OPTION_TEXT, "WHERE", OPT(via), "of releases from main: " VIA_HELP},
	{"allow", 0, OPTION_LIST, "RIGHT", OPT(allow),
		"security.insecure: let RUN --security=insecure leave the sandbox where main is built"},
	{"progress", 0, OPTION_TEXT, "MODE", OPT(progress), "auto, tty, plain, json or quiet"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};

/* ---- JSON ---- */

static const char *provenance_text(enum provenance p)
{
	static const char *const names[] = {"main", "branch", "unknown"};

	return names[p];
}

static json_t *place_json(const struct pin *p)
{
	json_t *o = json_object();

	json_set_text(o, "file", p->file);
	json_object_set_new(o, "line", json_integer(p->line));
	json_set_text(o, "form", pin_form_name(p->form));
	json_set_text(o, "image", p->image);
	json_set_text(o, "tag", p->tag);
	json_set_text(o, "digest", p->digest);
	return o;
}

static json_t *pin_json(const struct promote_pin *p)
{
	json_t *o = place_json(p->pin);

	json_set_text(o, "provenance", provenance_text(p->provenance));
	json_set_text(o, "reason", p->reason);
	if (*p->commit)
		json_set_text(o, "commit", p->commit);
	json_object_set_new(o, "changed", json_boolean(p->changed));
	json_set_text(o, "error", p->error);
	return o;
}

static json_t *promotion_json(const struct promotion *p)
{
	char text[DIGEST_TEXT_MAX];
	json_t *o = json_object(), *pins = json_array();

	json_set_text(o, "container", p->container);
	json_set_text(o, "kind", p->kind);
	if (p->why)
		json_set_text(o, "action", promote_action_name(p->action));
	json_set_text(o, "reference", p->reference);
	json_set_text(o, "tag", p->tag);
	if (digest_is_set(&p->digest))
		json_set_text(o, "digest", digest_text(&p->digest, text));
	json_set_text(o, "why", p->why);
	json_object_set_new(o, "reasons", input_changes_json(&p->changes));
	json_object_set_new(o, "published", json_boolean(p->published));
	json_set_text(o, "error", p->error);
	for (size_t i = 0; i < p->pins.len; i++)
		json_array_append_new(pins, pin_json(vec_at(&p->pins, i)));
	json_object_set_new(o, "pins", pins);
	return o;
}

static void print_json(struct cli *c, const struct promote_report *r)
{
	AUTO_JSON json_t *o = json_object();
	char when[CLOCK_TEXT_MAX];
	json_t *main = json_object(), *promotions = json_array(), *left = json_array();

	json_set_text(main, "ref", r->main);
	json_set_text(main, "commit", r->tip.id);
	if (r->fetched)
		json_set_text(main, "fetched", clock_rfc3339(r->fetched, when));
	json_object_set_new(o, "main", main);
	json_object_set_new(o, "from_main", json_integer((json_int_t)r->from_main));
	for (size_t i = 0; i < r->promotions.len; i++)
		json_array_append_new(promotions, promotion_json(vec_at(&r->promotions, i)));
	json_object_set_new(o, "promotions", promotions);
	for (size_t i = 0; i < r->left.len; i++) {
		const struct promote_left *l = vec_at(&r->left, i);
		json_t *one = place_json(l->pin);
		json_set_text(one, "why", l->why);
		json_array_append_new(left, one);
	}
	json_object_set_new(o, "left", left);
	if (*r->commit)
		json_set_text(o, "commit", r->commit);
	AUTO_FREE char *text = json_dump_pretty(o);
	fprintf(c->out, "%s\n", text);
}

/* ---- for people ---- */

/* "retag" before and after it is done: a run may have been stopped before it came to it. */
static const char *action_text(const struct promotion *p)
{
	static const char *const will[] = {"to be pinned", "to be tagged", "to be built"};
	static const char *const did[] = {"pinned", "tagged", "built"};

	if (p->error || !p->why)
		return "not promoted";
	return p->published && (p->action != PROMOTE_PIN || promotion_changed(p)) ? did[p->action]
										  : will[p->action];
}

static void print_pin(struct cli *c, const struct promotion *p, const struct promote_pin *pin, bool dry_run)
{
	const char *old = pin->pin->tag ? pin->pin->tag : pin->pin->digest ? pin->pin->digest : "-";

	fprintf(c->out, "    %s:%u  %s [%s%s%s]", pin->pin->file, pin->pin->line, old,
		provenance_text(pin->provenance), pin->reason ? ": " : "", pin->reason ? pin->reason : "");
	if (pin->error)
		fprintf(c->out, " stays: %s\n", pin->error);
	else if (p->error || (!dry_run && !pin->changed))
		fprintf(c->out, " stays\n");
	else
		fprintf(c->out, " -> %s\n", p->tag);
}

static void print_promotion(struct cli *c, const struct promotion *p, bool dry_run)
{
	fprintf(c->out, "%s%s  %s", p->container, p->nix ? " (nix)" : "", action_text(p));
	if (p->tag && p->why)
		fprintf(c->out, "  %s", p->tag);
	fprintf(c->out, "\n");
	if (p->why)
		fprintf(c->out, "    %s\n", p->why);
	input_changes_print(c->out, &p->changes, "      ");
	if (p->error)
		fprintf(c->out, "    error: %s\n", p->error);
	for (size_t i = 0; i < p->pins.len; i++)
		print_pin(c, p, vec_at(&p->pins, i), dry_run);
}

static void print_notes(struct cli *c, const struct promote_report *r)
{
	char ago[CLOCK_TEXT_MAX];

	fprintf(c->err, "main is %s (%s)", r->main, r->tip.short_id);
	if (r->fetched)
		fprintf(c->err, ", fetched %s ago", clock_age(clock_now() - r->fetched, ago));
	fputs("\n", c->err);
	for (size_t i = 0; i < r->scan.problems.len; i++) {
		const struct manifest_problem *p = vec_at(&r->scan.problems, i);
		if (!p->sentinel)
			fprintf(c->err, "warning: %s\n", p->text);
	}
	if (r->ahead)
		fprintf(c->err, "note: %s\n", r->ahead);
	for (size_t i = 0; i < r->uncommitted.len; i++)
		fprintf(c->err, "note: %s is changed and not committed\n", r->uncommitted.ptr[i]);
}

static void print_people(struct cli *c, const struct promote_report *r, bool dry_run)
{
	for (size_t i = 0; i < r->promotions.len; i++)
		print_promotion(c, vec_at(&r->promotions, i), dry_run);
	for (size_t i = 0; i < r->left.len; i++) {
		const struct promote_left *l = vec_at(&r->left, i);
		fprintf(c->out, "%s:%u  %s%s%s  left as it is: %s\n", l->pin->file, l->pin->line,
			l->pin->image, l->pin->tag ? ":" : "", l->pin->tag ? l->pin->tag : "", l->why);
	}
	if (!r->promotions.len)
		fprintf(c->out, "nothing to promote: %zu pin%s from %s (%s)\n", r->from_main,
			r->from_main == 1 ? " is" : "s are", r->main, r->tip.short_id);
	if (*r->commit)
		fprintf(c->out, "committed %.7s\n", r->commit);
}

static void print_report(struct cli *c, const struct promote_args *a, const struct promote_report *r)
{
	if (a->json)
		print_json(c, r);
	else
		print_people(c, r, a->dry_run);
}

static struct err *planned_failures(const struct promote_report *r)
{
	size_t failed = promote_failures(r);

	return failed ? err_new(ERR_UNAVAILABLE, "%zu pin%s cannot be promoted", failed, plural(failed))
		      : NULL;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	const struct promote_args *a = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;
	AUTO(display_freep) struct display *d = NULL;
	AUTO(promote_report_fini) struct promote_report r = {0};
	struct promote_request rq = {.names = operands,
		.env = a->env,
		.allow_downgrade = a->allow_downgrade,
		.commit = a->commit,
		.cancel = c->cancel};

	AUTO(repo_config_fini) struct repo_config cfg = {0};
	struct via via;

	TRY(build_allow_parse(&a->allow, &rq.allow_insecure));
	TRY(repo_open(".", &repo));
	TRY(repo_config_load(repo, NULL, &cfg));
	TRY(via_choose(a->via, cfg.server, &via));
	rq.server = via.server;
	TRY(engine_open(&c->engine, &eng));
	AUTO_FREE char *logs = path_join(engine_home(eng), "logs");
	TRY(display_new(c->err, a->progress, logs, &d));
	struct job_text_shown shown = {c, a->progress, &via};
	const struct job_text text = job_text_shown(&shown);
	rq.text = &text;
	rq.engine = eng;
	rq.repo = repo;
	rq.events = display_events(d);
	struct err *e = promote_plan(&rq, &r);
	display_end(d);
	TRY(e);
	print_notes(c, &r);
	rq.events = NULL; /* a release shows its own */
	e = a->dry_run ? planned_failures(&r) : promote_run(&rq, &r);
	print_report(c, a, &r);
	return e;
}

const struct command cmd_promote = {
	.name = "promote",
	.summary =
		"after a squash merge: move pins from branch builds to main's, without building again where "
		"nothing differs",
	.operands = "[NAME...]",
	.details =
		"Of every image that the manifests pin and that was not built from main: what main would "
		"build "
		"now. Were its inputs equal, main's tag is put over its layers, which gives the very image "
		"that a "
		"build of main would give; else it is released from main. Then the pins are changed. Nothing "
		"published is ever replaced. Exit status 1 when a pin could not be promoted; the others are.",
	.max = UNLIMITED,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct promote_args),
	.builds = true,
	.run = run,
};
