/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"

struct doctor_args {
	bool json;
};

static const struct option options[] = {
	{"json", 0, OPTION_FLAG, NULL, offsetof(struct doctor_args, json), "print JSON"},
};

static const char *state_name(const struct doctor_row *r)
{
	return r->state == DOCTOR_OK ? "ok" : r->state == DOCTOR_WARN ? "warn" : "FAIL";
}

static void print_rows(struct cli *c, const struct vec *rows, bool json)
{
	AUTO_JSON json_t *list = json_array();

	for (size_t i = 0; i < rows->len; i++) {
		const struct doctor_row *r = vec_at(rows, i);
		json_t *o = json_object();
		json_set_text(o, "check", r->name);
		json_set_text(o, "state", state_name(r));
		json_set_text(o, "detail", r->detail);
		json_set_text(o, "fix", r->fix);
		json_array_append_new(list, o);
		if (json)
			continue;
		fprintf(c->out, "%-4s  %-22s %s\n", state_name(r), r->name, r->detail);
		if (r->fix)
			fprintf(c->out, "      %-22s fix: %s\n", "", r->fix);
	}
	if (!json)
		return;
	AUTO_FREE char *text = json_dump_pretty(list);
	fprintf(c->out, "%s\n", text);
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct doctor_args *da = args;
	struct vec rows = VEC_OF(struct doctor_row);
	unsigned failed = 0;

	(void)operands;
	struct err *e = engine_doctor(&c->engine, &rows);
	if (!e)
		print_rows(c, &rows, da->json);
	for (size_t i = 0; i < rows.len; i++) {
		struct doctor_row *r = vec_at(&rows, i);
		failed += r->state == DOCTOR_FAIL;
		doctor_row_fini(r);
	}
	vec_fini(&rows);
	if (!e && failed)
		e = err_new(ERR_VIOLATION, "%u check%s failed: this machine cannot build yet", failed,
			plural(failed));
	return e;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = "whether this machine can build, and what to do if not",
	.operands = "",
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct doctor_args),
	.builds = true,
	.run = run,
};
