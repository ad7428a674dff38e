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
		"every tag (default: the newest 4, or 10 of NAME, and those that are pinned)"},
	{"json", 0, OPTION_FLAG, NULL, offsetof(struct list_args, json), "print JSON"},
};

static const char *provenance_name(enum provenance p)
{
	static const char *const names[] = {"main", "branch", "unknown"};

	return names[p];
}

static json_t *pin_json(const struct listed_pin *p)
{
	json_t *o = json_object();

	json_set_text(o, "file", p->file);
	json_object_set_new(o, "line", json_integer(p->line));
	return o;
}

static json_t *tag_json(const struct listed_tag *t)
{
	char text[DIGEST_TEXT_MAX], when[CLOCK_TEXT_MAX];
	json_t *o = json_object(), *pinned = json_array();

	json_set_text(o, "tag", t->tag);
	json_set_text(o, "version", t->version);
	if (digest_is_set(&t->digest))
		json_set_text(o, "digest", digest_text(&t->digest, text));
	if (*t->revision)
		json_set_text(o, "revision", t->revision);
	if (digest_is_set(&t->inputs))
		json_set_text(o, "inputs", digest_text(&t->inputs, text));
	json_set_text(o, "provenance", provenance_name(t->provenance));
	json_set_text(o, "reason", t->reason);
	if (t->same_as_main)
		json_object_set_new(o, "same_as_main", json_true());
	if (t->created)
		json_set_text(o, "created", clock_rfc3339(t->created, when));
	if (t->size)
		json_object_set_new(o, "size", json_integer((json_int_t)t->size));
	for (size_t i = 0; i < t->pinned.len; i++)
		json_array_append_new(pinned, pin_json(*(struct listed_pin **)vec_at(&t->pinned, i)));
	json_object_set_new(o, "pinned", pinned);
	return o;
}

static json_t *pins_json(const struct listed_container *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->pins.len; i++) {
		const struct listed_pin *p = vec_at(&l->pins, i);
		json_t *o = pin_json(p);
		json_set_text(o, "tag", p->tag);
		json_set_text(o, "digest", p->digest);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *container_json(const struct release_listing *all, const struct listed_container *l)
{
	char when[CLOCK_TEXT_MAX];
	json_t *o = json_object(), *tags = json_array();

	json_set_text(o, "container", l->container.name);
	json_set_text(o, "kinds", l->container.kinds);
	json_set_text(o, "image", l->image);
	json_set_text(o, "main", all->main);
	if (all->fetched)
		json_set_text(o, "main_fetched", clock_rfc3339(all->fetched, when));
	json_set_text(o, "error", l->error);
	for (size_t i = 0; i < l->tags.len; i++)
		json_array_append_new(tags, tag_json(vec_at(&l->tags, i)));
	json_object_set_new(o, "tags", tags);
	json_object_set_new(o, "pinned", pins_json(l));
	return o;
}

static void print_json(struct cli *c, const struct release_listing *all)
{
	AUTO_JSON json_t *list = json_array();

	for (size_t i = 0; i < all->containers.len; i++)
		json_array_append_new(list, container_json(all, vec_at(&all->containers, i)));
	AUTO_FREE char *text = json_dump_pretty(list);
	fprintf(c->out, "%s\n", text);
}

static char *mark(const struct listed_tag *t)
{
	if (t->same_as_main)
		return mem_strdup("[same as main]");
	if (t->reason)
		return mem_printf("[%s: %s]", provenance_name(t->provenance), t->reason);
	return mem_printf("[%s]", provenance_name(t->provenance));
}

/* Names of files are anybody's: they must not steer a terminal. Caller frees. */
static char *visible_file(const struct listed_pin *p)
{
	char *file = mem_strdup(p->file);

	cstr_make_visible(file);
	return file;
}

static void print_tag(struct cli *c, const struct listed_tag *t)
{
	char size[CLOCK_TEXT_MAX] = "-", when[CLOCK_TEXT_MAX] = "-";
	AUTO_FREE char *text = mark(t);

	if (t->size)
		size_text(t->size, size);
	if (t->created)
		clock_rfc3339(t->created, when);
	fprintf(c->out, "  %-28s %9s  %-20s  %s\n", t->tag, size, when, text);
	for (size_t i = 0; i < t->pinned.len; i++) {
		const struct listed_pin *p = *(struct listed_pin **)vec_at(&t->pinned, i);
		AUTO_FREE char *file = visible_file(p);
		fprintf(c->out, "      pinned at %s:%u\n", file, p->line);
	}
}

/* Of what the manifests name and the registry does not have, or not under a tag that is shown. */
static void print_other_pins(struct cli *c, const struct listed_container *l)
{
	for (size_t i = 0; i < l->pins.len; i++) {
		const struct listed_pin *p = vec_at(&l->pins, i);
		if (p->listed)
			continue;
		const char *name = p->tag ? p->tag : p->digest ? p->digest : "(neither tag nor digest)";
		AUTO_FREE char *file = visible_file(p);
		fprintf(c->out, "  %-28s pinned at %s:%u%s\n", name, file, p->line,
			l->error || !p->tag || p->exists ? "" : ", but not in the registry");
	}
}

static void print_people(struct cli *c, const struct release_listing *all)
{
	char ago[CLOCK_TEXT_MAX];

	if (all->main)
		fprintf(c->out, "compared with %s (%s)", all->main, all->tip.short_id);
	if (all->main && all->fetched)
		fprintf(c->out, ", fetched %s ago", clock_age(clock_now() - all->fetched, ago));
	if (all->main)
		fputs("\n", c->out);
	for (size_t i = 0; i < all->containers.len; i++) {
		const struct listed_container *l = vec_at(&all->containers, i);
		fprintf(c->out, "%s (%s)  %s\n", l->container.name, l->container.kinds, l->image);
		if (l->error)
			fprintf(c->out, "  cannot be listed: %s\n", l->error);
		else if (!l->tags.len)
			fprintf(c->out, "  (no tags)\n");
		for (size_t j = 0; j < l->tags.len; j++)
			print_tag(c, vec_at(&l->tags, j));
		print_other_pins(c, l);
	}
}

/* What could not be told, after all that could. */
static struct err *failure(struct repo *repo, const struct release_listing *all)
{
	size_t failed = 0;
	AUTO_FREE char *name = NULL;

	for (size_t i = 0; i < all->containers.len; i++)
		failed += ((const struct listed_container *)vec_at(&all->containers, i))->error != NULL;
	if (failed)
		return err_new(ERR_UNAVAILABLE, "%zu of %zu containers could not be listed", failed,
			all->containers.len);
	return repo_main_required(repo, &name, NULL);
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct list_args *la = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;
	AUTO(display_freep) struct display *d = NULL;
	AUTO(release_listing_fini) struct release_listing all = {0};
	struct release_list_request rq = {
		.name = operands->len ? operands->ptr[0] : NULL, .cancel = c->cancel};

	rq.max = la->all ? 0 : rq.name ? 10 : 4;
	TRY(repo_open(".", &repo));
	TRY(engine_open(&c->engine, &eng));
	TRY(display_new(c->err, "plain", NULL, &d));
	rq.repo = repo;
	rq.engine = eng;
	rq.events = display_events(d);
	TRY(release_list(&rq, &all));
	if (la->json)
		print_json(c, &all);
	else
		print_people(c, &all);
	fflush(c->out);
	return failure(repo, &all);
}

const struct command cmd_list = {
	.name = "list",
	.summary = "containers, their released tags, where each tag's commit stands, and what is pinned",
	.operands = "[NAME]",
	.details =
		"[main]: the tag's commit is on the main branch. [branch]: it exists but is not. "
		"[unknown]: it cannot be told, and why. [same as main]: one of these, but main would build "
		"the very same: \"cooper promote\" makes it main's. Tags that a manifest names are always "
		"shown, with the place.",
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct list_args),
	.builds = true, /* what main would build is evaluated */
	.run = run,
};
