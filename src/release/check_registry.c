/* SPDX-License-Identifier: Apache-2.0 */
/* Are pinned images in the registry? Each reference is asked for once. */
#include "base/mem.h"
#include "release/check_internal.h"
#include "remote/parallel.h"

#include <string.h>

/* One reference, whatever number of pins name it. */
struct lookup {
	struct reference ref;
	struct presence seen;
	struct image_facts facts;
	bool want_digest, want_label;
};

struct lookups {
	struct check *c;
	struct vec all; /* of struct lookup */
	size_t *of_pin; /* index of its lookup; SIZE_MAX: none */
};

static void lookups_fini(struct lookups *l)
{
	for (size_t i = 0; i < l->all.len; i++) {
		struct lookup *one = vec_at(&l->all, i);
		reference_fini(&one->ref);
		presence_fini(&one->seen);
	}
	vec_fini(&l->all);
	mem_freep(&l->of_pin);
}

/* ---- which ---- */

static struct err *make_reference(const struct pin *p, struct reference *out)
{
	TRY(reference_parse(p->image, false, out));
	out->tag = mem_strdup(p->tag);
	return p->digest ? digest_parse(str_c(p->digest), &out->digest) : NULL;
}

static struct err *gather(struct lookups *l, const struct trace *traces)
{
	struct check *c = l->c;
	AUTO(map_freep) struct map *seen = map_new(NULL); /* index + 1 */
	l->of_pin = mem_array(c->out->pins.len + 1, sizeof(*l->of_pin));
	for (size_t i = 0; i < c->out->pins.len; i++) {
		const struct checked_pin *p = vec_at(&c->out->pins, i);
		l->of_pin[i] = SIZE_MAX;
		if (!p->valid)
			continue;
		const char *what = p->pin->tag ? p->pin->tag : p->pin->digest;
		AUTO_FREE char *key = mem_printf("%s %s", p->pin->image, what);
		size_t at = (size_t)(uintptr_t)map_get_c(seen, key);
		if (!at) {
			TRY(make_reference(p->pin, &((struct lookup *)vec_push(&l->all))->ref));
			at = l->all.len;
			map_set_c(seen, key, (void *)(uintptr_t)at);
		}
		struct lookup *one = vec_at(&l->all, at - 1);
		one->want_digest |= p->pin->tag && p->pin->digest;
		one->want_label |= traces[i].provenance == PROVENANCE_UNKNOWN;
		l->of_pin[i] = at - 1;
	}
	return NULL;
}

/* ---- asking ---- */

static struct err *ask(void *ctx, size_t i, const struct transfer_io *io)
{
	struct lookups *all = ctx;
	struct lookup *l = vec_at(&all->all, i);
	struct engine *engine = all->c->rq->engine;
	bool embedded = !all->c->config.registry;
	TRY(published_presence(engine, embedded, &l->ref, l->want_digest, io, &l->seen));
	if (l->seen.status != 200 || l->seen.why || !l->want_label)
		return NULL;
	struct err *e = image_facts_read(engine, embedded, &l->ref, io, &l->facts);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		err_ignore(e, "without a label the tag's own characters are all that is known");
	return NULL;
}

/* ---- what it means ---- */

static void judge(struct check *c, struct checked_pin *p, const struct lookup *l)
{
	const struct pin *pin = p->pin;
	const struct presence *s = &l->seen;
	const char *sep = pin->tag ? ":" : "@", *what = pin->tag ? pin->tag : pin->digest;
	char digest[DIGEST_TEXT_MAX];
	digest_text(&s->digest, digest);
	if (s->why) {
		check_found(c, CHECK_UNVERIFIED, pin->file, pin->line, s->hint,
			"%s%s%s: could not verify (%s%s)", pin->image, sep, what,
			s->status ? "" : "network: ", s->why);
		return;
	}
	p->registry = s->status == 404 ? REGISTRY_MISSING : REGISTRY_OK;
	if (s->status == 404)
		check_found(c, CHECK_MISSING, pin->file, pin->line, NULL, "%s%s%s: not in registry",
			pin->image, sep, what);
	else if (pin->digest && *digest && !cstr_eq(digest, pin->digest))
		check_found(c, CHECK_DIGEST, pin->file, pin->line, NULL,
			"%s%s%s: the registry has %s, but %s is pinned", pin->image, sep, what, digest,
			pin->digest);
	else if (pin->digest && !*digest && pin->tag)
		check_found(c, CHECK_UNVERIFIED, pin->file, pin->line, NULL,
			"%s%s%s: could not verify (the registry tells no digest)", pin->image, sep, what);
}

struct err *check_registry(struct check *c, struct trace *traces)
{
	AUTO(lookups_fini) struct lookups l = {.c = c, .all = VEC_OF(struct lookup)};
	const struct transfer_io io = {.events = c->rq->events, .cancel = c->rq->cancel};
	if (!c->rq->engine)
		return NULL;
	TRY(gather(&l, traces));
	TRY(parallel_run(l.all.len, c->config.registry ? RELEASE_PARALLEL : 1, &io, ask, &l));
	for (size_t i = 0; i < c->out->pins.len; i++) {
		if (l.of_pin[i] == SIZE_MAX)
			continue;
		const struct lookup *one = vec_at(&l.all, l.of_pin[i]);
		judge(c, vec_at(&c->out->pins, i), one);
		if (traces[i].provenance == PROVENANCE_UNKNOWN)
			memcpy(traces[i].revision, one->facts.revision, sizeof(traces[i].revision));
	}
	return NULL;
}
