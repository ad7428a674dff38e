/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "nix/nix.h"
#include "repo/repo.h"
#include "sys/process.h"

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

/* Has the repository around us a default.nix to build? */
static bool wants_nix(void)
{
	AUTO(repo_freep) struct repo *r = NULL;
	struct repo_config cfg = {0};
	struct vec all = VEC_OF(struct container);
	bool wanted = false;

	struct err *e = repo_open(".", &r);
	if (!e)
		e = repo_config_load(r, NULL, &cfg);
	if (!e)
		e = repo_containers(r, &cfg, NULL, NULL, &all);
	err_ignore(e, "where there is no repository nothing is wanted");
	for (size_t i = 0; i < all.len; i++) {
		struct container *k = vec_at(&all, i);
		wanted = wanted || k->has[KIND_NIX];
		container_fini(k);
	}
	vec_fini(&all);
	repo_config_fini(&cfg);
	return wanted;
}

static struct err *nix_version(struct buf *out)
{
	AUTO_FREE char *program = NULL;

	TRY(nix_find("nix-build", &program));
	const char *const argv[] = {program, "--version", NULL};
	return process_run(&(struct process_request){.argv = argv}, out, NULL);
}

/* Only default.nix needs it: missing, it is a warning where there is one. */
static void check_nix(struct vec *rows)
{
	AUTO_BUF struct buf version = {0};
	struct doctor_row *r = vec_push(rows);
	struct err *e = nix_version(&version);
	struct str text = str_trim(buf_str(&version));

	r->name = mem_strdup("nix");
	r->state = DOCTOR_OK;
	if (!e) {
		r->detail = mem_strndup(text.ptr, text.len);
	} else if (!wants_nix()) {
		r->detail = mem_strdup("not found; nothing here needs it");
	} else {
		r->state = DOCTOR_WARN;
		r->detail = err_text(e);
		r->fix = mem_strdup(err_hint_text(e));
	}
	err_free(e);
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct doctor_args *da = args;
	struct vec rows = VEC_OF(struct doctor_row);
	unsigned failed = 0;

	(void)operands;
	struct err *e = engine_doctor(&c->engine, &rows);
	if (!e)
		check_nix(&rows);
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
