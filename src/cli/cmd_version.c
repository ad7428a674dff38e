/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "cli/render.h"
#include "cli/table.h"
#include "repo/repo.h"

#define BUILD_FILE_MAX (4u << 20)

struct version_args {
	const char *ref;
	bool json;
};

static const struct option options[] = {
	{"ref", 0, OPTION_TEXT, "REF", offsetof(struct version_args, ref),
		"read at this commit instead of the work tree"},
	{"json", 0, OPTION_FLAG, NULL, offsetof(struct version_args, json), "print JSON"},
};

struct survey {
	struct cli *c;
	struct repo *repo;
	const struct commit *commit; /* NULL: the work tree */
	struct event_stream *events;
	struct table *table;
	json_t *json;
	unsigned disagree, missing;
};

static struct err *declared(struct survey *s, const struct container *k, enum build_kind kind, char **out)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FREE char *path = mem_printf("%s/%s", k->dir, build_kind_file(kind));
	bool found = false;

	TRY(repo_read_at(s->repo, s->commit, path, BUILD_FILE_MAX, &text, &found));
	if (!found)
		return NULL;
	return version_extract(kind, buf_str(&text), path, s->events, out);
}

static bool same_version(const char *a, const char *b)
{
	return cstr_eq(a + (*a == 'v'), b + (*b == 'v'));
}

static void add_row(struct survey *s, const struct container *k, enum build_kind kind, const char *version,
	const char *state)
{
	table_cell(s->table, k->name);
	table_cell(s->table, build_kind_name(kind));
	table_cell(s->table, version ? version : "-");
	table_cell(s->table, state);
	json_t *o = json_object();
	json_set_text(o, "container", k->name);
	json_set_text(o, "kind", build_kind_name(kind));
	json_set_text(o, "version", version);
	json_set_text(o, "state", state);
	json_array_append_new(s->json, o);
}

static struct err *survey_container(struct survey *s, const struct container *k)
{
	AUTO_FREE char *first = NULL;

	for (int kind = 0; kind < BUILD_KINDS; kind++) {
		AUTO_FREE char *version = NULL;
		if (!k->has[kind])
			continue;
		struct err *e = declared(s, k, (enum build_kind)kind, &version);
		if (e) {
			AUTO_FREE char *why = err_text(e);
			err_free(e);
			s->missing++;
			add_row(s, k, (enum build_kind)kind, NULL, why);
			continue;
		}
		bool differs = version && first && !same_version(first, version);
		s->disagree += differs;
		s->missing += !version;
		add_row(s, k, (enum build_kind)kind, version,
			!version  ? "declares no version"
			: differs ? "differs"
				  : "ok");
		if (version && !first)
			first = steal(&version);
	}
	return NULL;
}

static struct err *survey_all(struct survey *s, const struct repo_config *cfg, const char *name)
{
	struct vec all = VEC_OF(struct container);
	struct container one = {0};
	struct err *e = NULL;

	if (name) {
		TRY(repo_container(s->repo, cfg, s->commit, name, &one));
		vec_push_copy(&all, &one);
	} else {
		e = repo_containers(s->repo, cfg, s->commit, s->events, &all);
	}
	for (size_t i = 0; i < all.len && !e; i++)
		e = survey_container(s, vec_at(&all, i));
	for (size_t i = 0; i < all.len; i++)
		container_fini(vec_at(&all, i));
	vec_fini(&all);
	return e;
}

static struct err *survey_repo(struct survey *s, const char *ref, const char *name, struct commit *commit)
{
	struct repo_config cfg = {0};

	if (ref) {
		TRY(repo_resolve(s->repo, ref, commit));
		s->commit = commit;
	}
	TRY(repo_config_load(s->repo, s->commit, &cfg));
	struct err *e = survey_all(s, &cfg, name);
	repo_config_fini(&cfg);
	return e;
}

static struct err *verdict(const struct survey *s)
{
	AUTO_BUF struct buf text = {0};

	if (s->disagree)
		buf_addf(&text, "%u build file%s of another version", s->disagree, plural(s->disagree));
	if (s->missing)
		buf_addf(&text, "%s%u build file%s without a version", text.len ? ", " : "", s->missing,
			plural(s->missing));
	return text.len ? err_new(ERR_VIOLATION, "%s", buf_cstr(&text)) : NULL;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	static const char *const titles[] = {"CONTAINER", "KIND", "VERSION", "STATE"};
	struct version_args *va = args;
	AUTO(repo_freep) struct repo *repo = NULL;
	AUTO(display_freep) struct display *d = NULL;
	AUTO_JSON json_t *json = json_array();
	struct table table = {0};
	struct commit commit = {0};
	struct survey s = {.c = c, .table = &table, .json = json};

	TRY(repo_open(".", &repo));
	TRY(display_new(c->err, "plain", NULL, &d));
	s.repo = repo;
	s.events = display_events(d);
	table_start(&table, titles, ARRAY_LEN(titles));
	struct err *e = survey_repo(&s, va->ref, operands->len ? operands->ptr[0] : NULL, &commit);
	if (!e && va->json) {
		AUTO_FREE char *text = json_dump_pretty(json);
		fprintf(c->out, "%s\n", text);
	} else if (!e) {
		table_print(&table, c->out);
	}
	table_fini(&table);
	commit_fini(&commit);
	if (e)
		return e;
	return verdict(&s);
}

const struct command cmd_version = {
	.name = "version",
	.summary = "the version each build file declares, and whether they agree",
	.operands = "[NAME]",
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct version_args),
	.run = run,
};
