/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/check_output.h"
#include "cli/cmds.h"
#include "cli/render.h"

#include <stdlib.h>

struct check_args {
	const char *base, *format;
	bool all, strict, offline;
};

#define OPT(field) offsetof(struct check_args, field)

static const struct option options[] = {
	{"all", 'a', OPTION_FLAG, NULL, OPT(all), "look at everything, changed or not"},
	{"base", 0, OPTION_TEXT, "REF", OPT(base), "look at what changed since REF (default: since main)"},
	{"strict", 0, OPTION_FLAG, NULL, OPT(strict), "a pin whose commit cannot be told is an error"},
	{"offline", 0, OPTION_FLAG, NULL, OPT(offline), "do not ask the registry"},
	{"format", 0, OPTION_TEXT, "FORMAT", OPT(format), "text, json or sarif"},
};

static const char *const formats[] = {"text", "json", "sarif", NULL};

static struct err *check_args(const struct check_args *a)
{
	if (a->all && a->base)
		return err_new(ERR_USAGE, "--all and --base exclude each other");
	for (size_t i = 0; a->format && formats[i]; i++)
		if (cstr_eq(a->format, formats[i]))
			return NULL;
	if (!a->format)
		return NULL;
	struct err *e = err_new(ERR_USAGE, "--format is text, json or sarif, not \"%s\"", a->format);
	const char *near = str_suggest(a->format, formats);
	return near ? err_hint(e, "did you mean \"%s\"?", near) : e;
}

static void print(struct cli *c, const struct check_args *a, const struct check_report *r)
{
	AUTO_JSON json_t *doc = NULL;

	if (!a->format || cstr_eq(a->format, "text")) {
		check_print_text(r, c->out);
		return;
	}
	doc = cstr_eq(a->format, "json") ? check_json(r) : check_sarif(r);
	AUTO_FREE char *text = json_dump_pretty(doc);
	fprintf(c->out, "%s\n", text);
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	const struct check_args *a = args;
	AUTO(engine_closep) struct engine *engine = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;
	AUTO(display_freep) struct display *d = NULL;
	AUTO(check_report_fini) struct check_report report = {0};
	(void)operands;

	TRY(check_args(a));
	TRY(repo_open(".", &repo));
	if (!a->offline)
		TRY(engine_open(&c->engine, &engine));
	TRY(display_new(c->err, "plain", NULL, &d));
	const struct check_request rq = {.engine = engine,
		.repo = repo,
		.base = a->base,
		.ci_base = getenv("GITHUB_BASE_REF"),
		.all = a->all,
		.strict = a->strict,
		.events = display_events(d),
		.cancel = c->cancel};
	TRY(release_check(&rq, &report));
	print(c, a, &report);
	fflush(c->out);
	if (!report.errors)
		return NULL;
	return err_new(ERR_VIOLATION, "the check found %zu error%s", report.errors, plural(report.errors));
}

const struct command cmd_check = {
	.name = "check",
	.summary = "check that what the manifests pin exists and comes from main, and that versions agree",
	.operands = "",
	.details =
		"Looks at the services and containers that changed since main (in the work tree, committed "
		"or "
		"not); at everything on main itself, when cooper.yaml or service-versions.yaml changed, and "
		"when git cannot tell. Exits with 3 when there is an error among what it found, with 1 when "
		"it could not look. In a pull request of a forge $GITHUB_BASE_REF names the branch to "
		"compare "
		"with.",
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct check_args),
	.run = run,
};
