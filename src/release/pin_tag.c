/* SPDX-License-Identifier: Apache-2.0 */
/* Which tag to pin. */
#include "base/mem.h"
#include "release/pin_internal.h"
#include "release/release_internal.h"

#include <string.h>

void pin_tag_fini(struct pin_tag *t)
{
	mem_freep(&t->tag);
	mem_freep(&t->digest);
	mem_freep(&t->reason);
	commit_fini(&t->commit);
	*t = (struct pin_tag){0};
}

static bool is_nix(const char *tag)
{
	return cstr_ends(tag, "-nix");
}

static struct err *reference_of(const struct pin_tag_search *s, const char *tag, struct reference *out)
{
	TRY(reference_parse(s->image, false, out));
	out->tag = mem_strdup(tag);
	return NULL;
}

static struct err *all_tags(const struct pin_tag_search *s, struct strvec *out)
{
	const struct transfer_io io = {.cancel = s->rq->cancel};
	return published_tags(s->rq->engine, !s->config->registry, s->image, &io, out);
}

/* What the tag stands for now; ERR_NOT_FOUND if nothing. */
static struct err *resolve(const struct pin_tag_search *s, const struct reference *ref, struct digest *out)
{
	AUTO(descriptor_fini) struct descriptor d = {0};
	bool found = true;
	if (s->config->registry) {
		struct remote *remote = NULL;
		struct transfer_io io = {.cancel = s->rq->cancel};
		TRY(engine_remote(s->rq->engine, &remote));
		TRY(remote_resolve(remote, ref, &io, &d));
	} else {
		TRY(published_here(s->rq->engine, ref, &d, &found));
	}
	if (!found)
		return err_new(ERR_NOT_FOUND, "%s:%s is not in the registry", s->image, ref->tag);
	*out = d.digest;
	return NULL;
}

/* The label of the image decides where it is from, if it can be read: of another platform it may not. */
static struct err *read_label(const struct pin_tag_search *s, const struct reference *ref, struct trace *t)
{
	struct image_facts facts = {0};
	struct transfer_io io = {.cancel = s->rq->cancel};
	struct err *e = image_facts_read(s->rq->engine, !s->config->registry, ref, &io, &facts);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		err_ignore(e, "then the tag's own characters are what is known");
	memcpy(t->revision, facts.revision, sizeof(t->revision));
	return trace_labels(s->rq->repo, &(struct trace *){t}, 1);
}

/* Takes what the trace holds. */
static struct err *fill(
	const struct pin_tag_search *s, const struct reference *ref, struct trace *t, struct pin_tag *out)
{
	char text[DIGEST_TEXT_MAX];
	struct digest digest;
	TRY(resolve(s, ref, &digest));
	TRY(read_label(s, ref, t));
	AUTO(pin_tag_fini)
	struct pin_tag found = {
		.tag = mem_strdup(ref->tag),
		.digest = mem_strdup(digest_text(&digest, text)),
		.nix = is_nix(ref->tag),
		.provenance = t->provenance,
		.reason = steal(&t->reason),
	};
	if (*t->commit)
		TRY(repo_resolve(s->rq->repo, t->commit, &found.commit));
	*out = found;
	found = (struct pin_tag){0};
	return NULL;
}

struct err *pin_tag_find(const struct pin_tag_search *s, const char *tag, struct pin_tag *out)
{
	if (!tag_valid(str_c(tag)))
		return err_new(ERR_INVALID, "\"%s\" is no tag of an image", tag);
	AUTO(reference_fini) struct reference ref = {0};
	AUTO(trace_fini) struct trace trace = {0};
	TRY(reference_of(s, tag, &ref));
	TRY(trace_tags(s->rq->repo, &tag, &trace, 1));
	struct err *e = fill(s, &ref, &trace, out);
	if (err_kind(e) == ERR_NOT_FOUND)
		return err_hint(
			e, "is its release finished? \"cooper list %s\" shows what there is", s->rq->name);
	return e;
}

struct candidate {
	const char *tag;
	struct trace trace;
};

static void candidates_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		trace_fini(&((struct candidate *)vec_at(v, i))->trace);
	vec_fini(v);
}

static int newest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	struct tag_order p = {.tag = x->tag, .version = x->trace.version, .time = x->trace.time};
	struct tag_order q = {.tag = y->tag, .version = y->trace.version, .time = y->trace.time};
	return tag_order_cmp(&p, &q);
}

/* Those of the kind that name a commit, newest first. */
static struct err *candidates(
	const struct pin_tag_search *s, const struct strvec *tags, bool nix, struct vec *out)
{
	AUTO_FREE struct trace *traces = mem_array(tags->len + 1, sizeof(*traces));
	TRY(trace_tags(s->rq->repo, strvec_list(tags), traces, tags->len));
	for (size_t i = 0; i < tags->len; i++) {
		if (*traces[i].sha7 && is_nix(tags->ptr[i]) == nix)
			vec_push_copy(out, &(struct candidate){.tag = tags->ptr[i], .trace = traces[i]});
		else
			trace_fini(&traces[i]);
	}
	vec_sort(out, newest_first);
	return NULL;
}

static struct err *nothing_of_main(const struct pin_tag_search *s, bool nix, const struct vec *found)
{
	const char *kind = nix ? " of default.nix" : "";
	if (!found->len)
		return err_hint(err_new(ERR_NOT_FOUND, "%s has no released tag%s", s->image, kind),
			"cooper release %s", s->rq->name);
	const struct candidate *first = vec_at(found, 0);
	return err_hint(
		err_new(ERR_NOT_FOUND, "no tag%s of %s is from main; the newest is %s [%s]", kind, s->image,
			first->tag, first->trace.provenance == PROVENANCE_BRANCH ? "branch" : "unknown"),
		"merge, git fetch, then: cooper release %s (or: cooper promote); --tag %s --allow-branch "
		"pins it "
		"all the same",
		s->rq->name, first->tag);
}

/* Of so many tags whose own characters name no commit here the label may, which takes requests. */
#define UNKNOWN_ASKED 50

struct err *pin_tag_newest(const struct pin_tag_search *s, bool nix, struct pin_tag *out)
{
	AUTO_STRVEC struct strvec tags = {0};
	AUTO(candidates_fini) struct vec found = VEC_OF(struct candidate);
	TRY(all_tags(s, &tags));
	TRY(candidates(s, &tags, nix, &found));
	unsigned unknown = 0;
	for (size_t i = 0; i < found.len; i++) {
		struct candidate *c = vec_at(&found, i);
		if (c->trace.provenance == PROVENANCE_BRANCH && !s->rq->allow_branch)
			continue;
		if (c->trace.provenance == PROVENANCE_UNKNOWN && unknown++ >= UNKNOWN_ASKED)
			continue;
		AUTO(reference_fini) struct reference ref = {0};
		AUTO(pin_tag_fini) struct pin_tag t = {0};
		TRY(reference_of(s, c->tag, &ref));
		struct err *e = fill(s, &ref, &c->trace, &t);
		if (err_kind(e) == ERR_NOT_FOUND) {
			err_ignore(e, "registries list tags for a while after they are gone");
			continue;
		}
		TRY(e);
		if (t.provenance == PROVENANCE_UNKNOWN ||
			(t.provenance == PROVENANCE_BRANCH && !s->rq->allow_branch))
			continue;
		*out = t;
		t = (struct pin_tag){0};
		return NULL;
	}
	return nothing_of_main(s, nix, &found);
}

static struct err *kind_of_tag_with(
	const struct pin_tag_search *s, const char *digest, bool *nix, bool *found)
{
	AUTO_STRVEC struct strvec tags = {0};
	TRY(all_tags(s, &tags));
	*found = false;
	for (size_t i = tags.len; i-- > 0 && !*found;) {
		char text[DIGEST_TEXT_MAX];
		struct digest d;
		AUTO(reference_fini) struct reference ref = {0};
		TRY(reference_of(s, tags.ptr[i], &ref));
		TRY(resolve(s, &ref, &d));
		*found = cstr_eq(digest_text(&d, text), digest);
		*nix = is_nix(tags.ptr[i]);
	}
	return NULL;
}

struct err *pin_digest_kind(const struct pin_tag_search *s, const struct pin *p, bool *nix)
{
	const struct container *c = s->container;
	bool found = false;
	if (c && c->has[KIND_NIX] != (c->has[KIND_DOCKERFILE] || c->has[KIND_CONTAINER_PY])) {
		*nix = c->has[KIND_NIX];
		return NULL;
	}
	TRY(kind_of_tag_with(s, p->digest, nix, &found));
	if (found)
		return NULL;
	return err_hint(
		err_new(ERR_INVALID,
			"%s:%u: no tag of %s stands for %s, so it cannot be told which kind of build it is",
			p->file, p->line, s->image, p->digest),
		"name the tag: --tag T");
}
