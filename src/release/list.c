/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "registry/registry.h"
#include "release/release.h"
#include "release/release_internal.h"

#include <stdlib.h>
#include <string.h>

void listed_tag_fini(struct listed_tag *t)
{
	mem_freep(&t->tag);
	mem_freep(&t->version);
	mem_freep(&t->reason);
	*t = (struct listed_tag){0};
}

void listed_container_fini(struct listed_container *l)
{
	for (size_t i = 0; i < l->tags.len; i++)
		listed_tag_fini(vec_at(&l->tags, i));
	vec_fini(&l->tags);
	container_fini(&l->container);
	mem_freep(&l->image);
	mem_freep(&l->error);
	*l = (struct listed_container){0};
}

/* What listing one container needs. */
struct listing {
	struct engine *engine;
	struct repo *repo;
	const struct repo_config *config;
	const struct cancel *cancel;
	size_t max;
};

/* A tag on the way: what the repository says about its 7 characters. */
struct candidate {
	struct listed_tag t;
	char sha7[8];
	int64_t time;
};

int tag_order_cmp(const struct tag_order *a, const struct tag_order *b)
{
	int order = version_cmp(b->version, a->version);
	if (order)
		return order;
	if (a->time != b->time)
		return a->time > b->time ? -1 : 1;
	return strcmp(b->tag, a->tag);
}

static int newest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	struct tag_order p = {.tag = x->t.tag, .version = x->t.version, .time = x->time};
	struct tag_order q = {.tag = y->t.tag, .version = y->t.version, .time = y->time};
	return tag_order_cmp(&p, &q);
}

static struct err *all_tags(const struct listing *l, const struct reference *image, struct strvec *out)
{
	if (!l->config->registry)
		return registry_tags(engine_store(l->engine), image->repository, out);
	struct remote *remote = NULL;
	TRY(engine_remote(l->engine, &remote));
	struct transfer_io io = {.cancel = l->cancel};
	return remote_tags(remote, image, &io, out);
}

static const char *why_no_commit(const char *tag)
{
	if (strstr(tag, "-dirty-"))
		return "built from changes that were not committed";
	if (cstr_ends(tag, "-unpushed") || cstr_ends(tag, "-unpushed-nix"))
		return "built from a commit that was not pushed";
	return "the tag does not name a commit";
}

static struct err *first_look(const struct listing *l, const char *tag, struct candidate *c)
{
	struct tag_parts parts = {0};
	bool ok = false;
	tag_parse(tag, &ok, &parts);
	c->t.tag = mem_strdup(tag);
	c->t.provenance = PROVENANCE_UNKNOWN;
	if (!ok) {
		c->t.version = mem_strdup(tag + 1);
		c->t.reason = mem_strdup(why_no_commit(tag));
		return NULL;
	}
	c->t.version = steal(&parts.version);
	memcpy(c->sha7, parts.sha7, sizeof(c->sha7));
	AUTO(commit_fini) struct commit commit = {0};
	TRY(repo_provenance(l->repo, c->sha7, &c->t.provenance, &c->t.reason, &commit));
	c->time = commit.time;
	return NULL;
}

/* The image's manifest into the store, if it is not there. */
static struct err *find_image(const struct listing *l, const struct reference *ref, struct descriptor *out)
{
	if (!l->config->registry) {
		bool found = false;
		TRY(registry_get(engine_store(l->engine), ref->repository, ref->tag, out, &found));
		return found ? NULL : err_new(ERR_NOT_FOUND, "%s:%s is gone", ref->repository, ref->tag);
	}
	struct remote *remote = NULL;
	TRY(engine_remote(l->engine, &remote));
	struct transfer_io io = {.cancel = l->cancel};
	struct platform host;
	platform_host(&host);
	AUTO(descriptor_fini) struct descriptor manifest = {0};
	return remote_pull_lazy(remote, ref, &host, &io, out, &manifest);
}

static void read_config(const struct image_config *cfg, struct listed_tag *t)
{
	const json_t *labels = json_object_get(json_object_get(cfg->json, "config"), "Labels");
	const char *revision =
		json_string_value(json_object_get(labels, "org.opencontainers.image.revision"));
	if (revision && strlen(revision) == 40 && strspn(revision, "0123456789abcdef") == 40)
		memcpy(t->revision, revision, sizeof(t->revision));
	const char *created = json_string_value(json_object_get(cfg->json, "created"));
	struct err *e = created ? clock_parse_rfc3339(str_c(created), &t->created) : NULL;
	if (e)
		err_ignore(e, "a time that is none is shown as not known");
}

static struct err *read_image(const struct listing *l, const struct reference *ref, struct listed_tag *t)
{
	struct store *s = engine_store(l->engine);
	AUTO(descriptor_fini) struct descriptor top = {0}, image = {0};
	TRY(find_image(l, ref, &top));
	t->digest = top.digest;
	struct platform host;
	platform_host(&host);
	TRY(images_resolve_platform(s, &top.digest, &host, &image));
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config cfg = {0};
	TRY(images_read(s, &image.digest, &m, &cfg));
	for (size_t i = 0; i < m.entries.len; i++)
		t->size += ((const struct descriptor *)vec_at(&m.entries, i))->size;
	read_config(&cfg, t);
	return NULL;
}

/*
 * The label decides, unless it was inherited from a base image: then it names a commit of some other
 * repository, and the tag's own characters stay what is known.
 */
static struct err *second_look(const struct listing *l, struct candidate *c)
{
	struct listed_tag *t = &c->t;
	if (!*t->revision)
		return NULL;
	enum provenance p = PROVENANCE_UNKNOWN;
	AUTO_FREE char *reason = NULL;
	TRY(repo_provenance(l->repo, t->revision, &p, &reason, NULL));
	if (p == PROVENANCE_UNKNOWN && *c->sha7 && !cstr_starts(t->revision, c->sha7)) {
		t->revision[0] = 0;
		return NULL;
	}
	t->provenance = p;
	mem_freep(&t->reason);
	t->reason = steal(&reason);
	return NULL;
}

static void candidates_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		listed_tag_fini(&((struct candidate *)vec_at(v, i))->t);
	vec_fini(v);
}

static struct err *complete(const struct listing *l, const struct reference *image, struct candidate *c)
{
	AUTO(reference_fini) struct reference ref = {0};
	reference_copy(image, &ref);
	mem_freep(&ref.tag);
	ref.tag = mem_strdup(c->t.tag);
	struct err *e = read_image(l, &ref, &c->t);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		err_ignore(e, "one unreadable image must not hide the tags; its details stay unknown");
	return second_look(l, c);
}

static struct err *list_tags(const struct listing *l, const char *image, struct vec *out)
{
	AUTO(reference_fini) struct reference ref = {0};
	TRY(reference_parse(image, false, &ref));
	AUTO_STRVEC struct strvec tags = {0};
	TRY(all_tags(l, &ref, &tags));
	AUTO(candidates_fini) struct vec found = VEC_OF(struct candidate);
	for (size_t i = 0; i < tags.len; i++)
		if (tags.ptr[i][0] == 'v' && tags.ptr[i][1] >= '0' && tags.ptr[i][1] <= '9')
			TRY(first_look(l, tags.ptr[i], vec_push(&found)));
	vec_sort(&found, newest_first);
	size_t count = l->max && found.len > l->max ? l->max : found.len;
	for (size_t i = 0; i < count; i++)
		TRY(complete(l, &ref, vec_at(&found, i)));
	for (size_t i = 0; i < count; i++) {
		struct candidate *c = vec_at(&found, i);
		vec_push_copy(out, &c->t);
		c->t = (struct listed_tag){0};
	}
	return NULL;
}

/* Takes container over. */
static struct err *list_one(
	const struct listing *l, struct container *container, struct listed_container *out)
{
	*out = (struct listed_container){.container = *container, .tags = VEC_OF(struct listed_tag)};
	*container = (struct container){0};
	out->image = release_image(l->config, out->container.name);
	struct err *e = list_tags(l, out->image, &out->tags);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		out->error = err_text(e);
	err_free(e);
	return NULL;
}

static void containers_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		container_fini(vec_at(v, i));
	vec_fini(v);
}

struct err *release_list(struct engine *e, struct repo *r, const char *name, size_t max,
	struct event_stream *events, const struct cancel *cancel, struct vec *out)
{
	AUTO(repo_config_fini) struct repo_config cfg = {0};
	TRY(repo_config_load(r, NULL, &cfg));
	AUTO(containers_fini) struct vec containers = VEC_OF(struct container);
	if (name)
		TRY(repo_container(r, &cfg, NULL, name, vec_push(&containers)));
	else
		TRY(repo_containers(r, &cfg, NULL, events, &containers));
	struct listing l = {.engine = e, .repo = r, .config = &cfg, .cancel = cancel, .max = max};
	for (size_t i = 0; i < containers.len; i++)
		TRY(list_one(&l, vec_at(&containers, i), vec_push(out)));
	return NULL;
}
