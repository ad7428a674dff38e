/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "cli/render.h"
#include "release/release.h"

struct list_args {
	bool json, all;
};

static const struct option options[] = {
	{"all", 'a', OPTION_FLAG, NULL, offsetof(struct list_args, all),
		"every tag (default: the newest 4, or 10 of NAME)"},
	{"json", 0, OPTION_FLAG, NULL, offsetof(struct list_args, json), "print JSON"},
};

static const char *provenance_name(enum provenance p)
{
	static const char *const names[] = {"main", "branch", "unknown"};

	return names[p];
}

static json_t *tag_json(const struct listed_tag *t)
{
	char text[DIGEST_TEXT_MAX], when[CLOCK_TEXT_MAX];
	json_t *o = json_object();

	json_set_text(o, "tag", t->tag);
	json_set_text(o, "version", t->version);
	if (digest_is_set(&t->digest))
		json_set_text(o, "digest", digest_text(&t->digest, text));
	if (*t->revision)
		json_set_text(o, "revision", t->revision);
	json_set_text(o, "provenance", provenance_name(t->provenance));
	json_set_text(o, "reason", t->reason);
	if (t->created)
		json_set_text(o, "created", clock_rfc3339(t->created, when));
	if (t->size)
		json_object_set_new(o, "size", json_integer((json_int_t)t->size));
	return o;
}

static void print_json(struct cli *c, const struct vec *all)
{
	AUTO_JSON json_t *list = json_array();

	for (size_t i = 0; i < all->len; i++) {
		const struct listed_container *l = vec_at(all, i);
		json_t *o = json_object(), *tags = json_array();
		json_set_text(o, "container", l->container.name);
		json_set_text(o, "kinds", l->container.kinds);
		json_set_text(o, "image", l->image);
		json_set_text(o, "error", l->error);
		for (size_t j = 0; j < l->tags.len; j++)
			json_array_append_new(tags, tag_json(vec_at(&l->tags, j)));
		json_object_set_new(o, "tags", tags);
		json_array_append_new(list, o);
	}
	AUTO_FREE char *text = json_dump_pretty(list);
	fprintf(c->out, "%s\n", text);
}

static void print_tag(struct cli *c, const struct listed_tag *t)
{
	char size[CLOCK_TEXT_MAX] = "", when[CLOCK_TEXT_MAX] = "";
	AUTO_FREE char *mark = mem_printf("[%s]", provenance_name(t->provenance));

	if (t->size)
		size_text(t->size, size);
	if (t->created)
		clock_rfc3339(t->created, when);
	fprintf(c->out, "  %-28s %-9s  %8s  %s%s%s\n", t->tag, mark, size, when, t->reason ? "  " : "",
		t->reason ? t->reason : "");
}

static void print_people(struct cli *c, const struct vec *all)
{
	for (size_t i = 0; i < all->len; i++) {
		const struct listed_container *l = vec_at(all, i);
		fprintf(c->out, "%s (%s)  %s\n", l->container.name, l->container.kinds, l->image);
		if (l->error)
			fprintf(c->out, "  cannot be listed: %s\n", l->error);
		else if (!l->tags.len)
			fprintf(c->out, "  (no tags)\n");
		for (size_t j = 0; j < l->tags.len; j++)
			print_tag(c, vec_at(&l->tags, j));
	}
}

static bool any_error(const struct vec *all)
{
	for (size_t i = 0; i < all->len; i++)
		if (((const struct listed_container *)vec_at(all, i))->error)
			return true;
	return false;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct list_args *la = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;
	AUTO(display_freep) struct display *d = NULL;
	struct vec all = VEC_OF(struct listed_container);
	const char *name = operands->len ? operands->ptr[0] : NULL;
	size_t max = la->all ? 0 : name ? 10 : 4;

	TRY(repo_open(".", &repo));
	TRY(engine_open(&c->engine, &eng));
	TRY(display_new(c->err, "plain", NULL, &d));
	struct err *e = release_list(eng, repo, name, max, display_events(d), c->cancel, &all);
	if (!e && la->json)
		print_json(c, &all);
	else if (!e)
		print_people(c, &all);
	if (!e && any_error(&all))
		e = err_new(ERR_UNAVAILABLE, "some containers could not be listed");
	for (size_t i = 0; i < all.len; i++)
		listed_container_fini(vec_at(&all, i));
	vec_fini(&all);
	return e;
}

const struct command cmd_list = {
	.name = "list",
	.summary = "containers, their released tags, and where each tag's commit stands",
	.operands = "[NAME]",
	.details = "[main]: the tag's commit is on the main branch. [branch]: it exists but is not. "
		   "[unknown]: it cannot be told, and why.",
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct list_args),
	.run = run,
};
