/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "release/evaluate.h"
#include "release/release.h"
#include "release/release_internal.h"
#include "remote/parallel.h"
#include "repo/manifests.h"

#include <string.h>

static void listed_tag_fini(struct listed_tag *t)
{
	mem_freep(&t->tag);
	mem_freep(&t->version);
	mem_freep(&t->reason);
	vec_fini(&t->pinned);
	*t = (struct listed_tag){0};
}

static void listed_container_fini(struct listed_container *l)
{
	for (size_t i = 0; i < l->tags.len; i++)
		listed_tag_fini(vec_at(&l->tags, i));
	for (size_t i = 0; i < l->pins.len; i++) {
		struct listed_pin *p = vec_at(&l->pins, i);
		mem_freep(&p->file);
		mem_freep(&p->tag);
		mem_freep(&p->digest);
	}
	vec_fini(&l->tags);
	vec_fini(&l->pins);
	container_fini(&l->container);
	mem_freep(&l->image);
	mem_freep(&l->error);
}

void release_listing_fini(struct release_listing *l)
{
	for (size_t i = 0; i < l->containers.len; i++)
		listed_container_fini(vec_at(&l->containers, i));
	vec_fini(&l->containers);
	mem_freep(&l->main);
	commit_fini(&l->tip);
	*l = (struct release_listing){0};
}

/* ---- order ---- */

int tag_order_cmp(const struct tag_order *a, const struct tag_order *b)
{
	int order = version_cmp(b->version, a->version);
	if (order)
		return order;
	if (a->time != b->time)
		return a->time > b->time ? -1 : 1;
	return strcmp(b->tag, a->tag);
}

/* A tag on the way to be listed. */
struct candidate {
	struct listed_container *of;
	char *tag;
	struct trace trace;
	struct image_facts facts;
};

static const char *version_of(const struct candidate *c)
{
	return c->trace.version ? c->trace.version : c->tag + 1; /* all begin with a v */
}

static int newest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	struct tag_order p = {.tag = x->tag, .version = version_of(x), .time = x->trace.time};
	struct tag_order q = {.tag = y->tag, .version = version_of(y), .time = y->trace.time};
	return tag_order_cmp(&p, &q);
}

/* ---- what there is ---- */

struct listing {
	const struct release_list_request *rq;
	struct repo_config config;
	struct release_listing *out;
	struct strvec *tags;   /* of each container, as its registry has them */
	size_t count;          /* of containers */
	struct vec candidates; /* of struct candidate; those of a container stand together */
};

static void listing_fini(struct listing *l)
{
	for (size_t i = 0; i < l->candidates.len; i++) {
		struct candidate *c = vec_at(&l->candidates, i);
		mem_freep(&c->tag);
		trace_fini(&c->trace);
	}
	vec_fini(&l->candidates);
	for (size_t i = 0; i < l->count; i++)
		strvec_fini(&l->tags[i]);
	mem_freep(&l->tags);
	repo_config_fini(&l->config);
}

static struct err *find_containers(struct listing *l)
{
	const struct release_list_request *rq = l->rq;
	AUTO(vec_fini) struct vec found = VEC_OF(struct container);
	struct container one = {0};
	struct err *e = rq->name ? repo_container(rq->repo, &l->config, NULL, rq->name, &one)
				 : repo_containers(rq->repo, &l->config, NULL, rq->events, &found);
	if (rq->name && !e)
		vec_push_copy(&found, &one);
	for (size_t i = 0; i < found.len; i++) {
		struct listed_container *c = vec_push(&l->out->containers);
		c->container = *(struct container *)vec_at(&found, i);
		c->image = release_image(&l->config, c->container.name);
		c->tags = VEC_OF(struct listed_tag);
		c->pins = VEC_OF(struct listed_pin);
	}
	return e;
}

static struct err *find_tags(void *ctx, size_t i, const struct transfer_io *io)
{
	struct listing *l = ctx;
	struct listed_container *c = vec_at(&l->out->containers, i);
	struct err *e = published_tags(l->rq->engine, !l->config.registry, c->image, io, &l->tags[i]);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		c->error = err_text(e);
	err_free(e);
	return NULL;
}

static struct err *find_pins(struct listing *l)
{
	AUTO_FREE char *prefix = release_prefix(&l->config);
	AUTO(manifest_scan_fini) struct manifest_scan scan = {0};
	TRY(manifests_scan(l->rq->repo, &l->config, NULL, prefix, &scan));
	for (size_t i = 0; i < l->out->containers.len; i++) {
		struct listed_container *c = vec_at(&l->out->containers, i);
		for (size_t k = 0; k < scan.pins.len; k++) {
			struct pin *p = vec_at(&scan.pins, k);
			if (!cstr_eq(p->name, c->container.name))
				continue;
			struct listed_pin *to = vec_push(&c->pins);
			*to = (struct listed_pin){.file = steal(&p->file),
				.line = p->line,
				.tag = steal(&p->tag),
				.digest = steal(&p->digest)};
		}
	}
	return NULL;
}

static void note_existing(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct listed_container *c = vec_at(&l->out->containers, i);
		for (size_t k = 0; k < c->pins.len; k++) {
			struct listed_pin *p = vec_at(&c->pins, k);
			p->exists = p->tag && strvec_has(&l->tags[i], p->tag);
		}
	}
}

/* ---- what is shown of it ---- */

static bool is_release_tag(const char *tag)
{
	return tag[0] == 'v' && tag[1] >= '0' && tag[1] <= '9';
}

static struct err *trace_all(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++)
		for (size_t k = 0; k < l->tags[i].len; k++)
			if (is_release_tag(l->tags[i].ptr[k])) {
				struct candidate *c = vec_push(&l->candidates);
				c->of = vec_at(&l->out->containers, i);
				c->tag = mem_strdup(l->tags[i].ptr[k]);
			}
	size_t count = l->candidates.len;
	AUTO_FREE const char **tags = mem_array(count + 1, sizeof(*tags));
	AUTO_FREE struct trace *traces = mem_array(count + 1, sizeof(*traces));
	for (size_t i = 0; i < count; i++)
		tags[i] = ((struct candidate *)vec_at(&l->candidates, i))->tag;
	TRY(trace_tags(l->rq->repo, tags, traces, count));
	for (size_t i = 0; i < count; i++)
		((struct candidate *)vec_at(&l->candidates, i))->trace = traces[i];
	return NULL;
}

static bool names_tag(const struct listed_pin *p, const char *tag, const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];
	return p->tag ? cstr_eq(p->tag, tag)
		      : digest_is_set(digest) && cstr_eq(p->digest, digest_text(digest, text));
}

static bool is_pinned(const struct candidate *c)
{
	for (size_t i = 0; i < c->of->pins.len; i++)
		if (names_tag(vec_at(&c->of->pins, i), c->tag, &c->facts.digest))
			return true;
	return false;
}

/* Sorts each container's candidates and drops those beyond max that no manifest names. */
static void choose(struct listing *l)
{
	struct candidate *all = l->candidates.ptr;
	size_t kept = 0;
	for (size_t begin = 0, end; begin < l->candidates.len; begin = end) {
		for (end = begin; end < l->candidates.len && all[end].of == all[begin].of;)
			end++;
		struct vec part = {
			.ptr = all + begin, .len = end - begin, .cap = end - begin, .size = sizeof(*all)};
		vec_sort(&part, newest_first);
		for (size_t i = begin; i < end; i++) {
			if (!l->rq->max || i - begin < l->rq->max || is_pinned(&all[i])) {
				struct candidate c = all[i];
				all[i] = (struct candidate){0};
				all[kept++] = c;
				continue;
			}
			mem_freep(&all[i].tag);
			trace_fini(&all[i].trace);
		}
	}
	l->candidates.len = kept;
}

static struct err *read_facts(void *ctx, size_t i, const struct transfer_io *io)
{
	struct listing *l = ctx;
	struct candidate *c = vec_at(&l->candidates, i);
	AUTO(reference_fini) struct reference ref = {0};
	TRY(reference_parse(c->of->image, false, &ref));
	ref.tag = mem_strdup(c->tag);
	struct err *e = image_facts_read(l->rq->engine, !l->config.registry, &ref, io, &c->facts);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		err_ignore(e, "one unreadable image must not hide the tags; its details stay unknown");
	memcpy(c->trace.revision, c->facts.revision, sizeof(c->trace.revision));
	return NULL;
}

static struct err *trace_chosen(struct listing *l)
{
	AUTO_FREE struct trace **traces = mem_array(l->candidates.len + 1, sizeof(*traces));
	for (size_t i = 0; i < l->candidates.len; i++)
		traces[i] = &((struct candidate *)vec_at(&l->candidates, i))->trace;
	return trace_labels(l->rq->repo, traces, l->candidates.len);
}

static void hand_over(struct candidate *c)
{
	struct listed_tag *t = vec_push(&c->of->tags);
	char *version = mem_strdup(version_of(c)); /* may be a part of the tag */
	*t = (struct listed_tag){
		.version = version,
		.tag = steal(&c->tag),
		.digest = c->facts.digest,
		.inputs = c->facts.inputs,
		.provenance = c->trace.provenance,
		.reason = steal(&c->trace.reason),
		.created = c->facts.created,
		.size = c->facts.size,
		.pinned = VEC_OF(const struct listed_pin *),
	};
	memcpy(t->revision, c->trace.revision, sizeof(t->revision));
	for (size_t i = 0; i < c->of->pins.len; i++) {
		struct listed_pin *p = vec_at(&c->of->pins, i);
		if (!names_tag(p, t->tag, &t->digest))
			continue;
		p->listed = true;
		vec_push_copy(&t->pinned, &(const struct listed_pin *){p});
	}
}

/* ---- what main would build ---- */

static struct err *compare_tag(
	const struct listing *l, struct main_builds *builds, const char *name, struct listed_tag *t)
{
	const struct main_build *b = NULL;
	TRY(main_builds_get(builds, name, cstr_ends(t->tag, "-nix"), &b));
	bool fresh = !b->evaluated;
	TRY(main_builds_evaluate(builds, b));
	if (fresh && b->job && b->error)
		event_warn(l->rq->events, (struct source_range){0},
			"what main would build of %s cannot be told: %s", name, b->error);
	t->same_as_main =
		digest_is_set(&b->evaluation.inputs) && digest_eq(&b->evaluation.inputs, &t->inputs);
	return NULL;
}

/* Only of containers with tags for which it is a question. */
static struct err *compare_with_main(struct listing *l)
{
	AUTO(main_builds_freep) struct main_builds *builds = NULL;
	if (!l->out->main)
		return NULL;
	/* How the build goes is not what was asked. */
	TRY(main_builds_open(l->rq->engine, l->rq->repo, NULL, l->rq->cancel, &builds));
	for (size_t i = 0; i < l->out->containers.len; i++) {
		struct listed_container *c = vec_at(&l->out->containers, i);
		for (size_t k = 0; k < c->tags.len; k++) {
			struct listed_tag *t = vec_at(&c->tags, k);
			if (t->provenance != PROVENANCE_MAIN && digest_is_set(&t->inputs))
				TRY(compare_tag(l, builds, c->container.name, t));
		}
	}
	return NULL;
}

/* ---- all ---- */

static unsigned parallel(const struct listing *l)
{
	return l->config.registry ? RELEASE_PARALLEL : 1;
}

static struct err *make_listing(struct listing *l)
{
	const struct transfer_io io = {.cancel = l->rq->cancel};
	struct repo *r = l->rq->repo;
	TRY(repo_config_load(r, NULL, &l->config));
	TRY(repo_main(r, &l->out->main, &l->out->tip));
	TRY(repo_main_fetched(r, &l->out->fetched));
	TRY(find_containers(l));
	TRY(find_pins(l));
	l->count = l->out->containers.len;
	l->tags = mem_array(l->count + 1, sizeof(*l->tags));
	TRY(parallel_run(l->count, parallel(l), &io, find_tags, l));
	note_existing(l);
	TRY(trace_all(l));
	choose(l);
	TRY(parallel_run(l->candidates.len, parallel(l), &io, read_facts, l));
	TRY(trace_chosen(l));
	for (size_t i = 0; i < l->candidates.len; i++)
		hand_over(vec_at(&l->candidates, i));
	return compare_with_main(l);
}

struct err *release_list(const struct release_list_request *rq, struct release_listing *out)
{
	struct release_listing listed = {.containers = VEC_OF(struct listed_container)};
	AUTO(listing_fini)
	struct listing l = {.rq = rq, .out = &listed, .candidates = VEC_OF(struct candidate)};
	struct err *e = make_listing(&l);
	if (!e)
		*out = listed;
	else
		release_listing_fini(&listed);
	return e;
}
