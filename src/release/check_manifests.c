/* SPDX-License-Identifier: Apache-2.0 */
/* Pins: what they name, and where that comes from. */
#include "base/mem.h"
#include "release/check_internal.h"

#include <string.h>

/* ---- what can be read ---- */

static bool name_valid(const struct check *c, const struct pin *p)
{
	AUTO_FREE char *image = release_image(&c->config, p->name);
	return cstr_eq(image, p->image) && str_index(str_c(p->name), ':') < 0 &&
	       repository_valid(str_c(p->name));
}

/* Nothing of a pin goes into a URL before this, whatever found it. */
static bool grammar_valid(const struct check *c, const struct pin *p)
{
	struct str digest = str_c(p->digest);
	return name_valid(c, p) && (p->tag || p->digest) && (!p->tag || tag_valid(str_c(p->tag))) &&
	       (!p->digest || (str_starts(digest, "sha256:") && digest_valid(digest)));
}

static void check_problems(struct check *c)
{
	/* The entry that a sentinel has lost may have stood in any kustomization. */
	bool any = check_scope_has_manifests(&c->scope, &c->config);
	for (size_t i = 0; i < c->out->scan.problems.len; i++) {
		const struct manifest_problem *p = vec_at(&c->out->scan.problems, i);
		if (strvec_has(&c->config.manifests, p->file)) /* missing: whatever changed */
			check_found_text(c, CHECK_NO_MANIFESTS, p->file, 0, NULL, p->text);
		else if (check_scope_has(&c->scope, &c->config, p->file) || (p->sentinel && any))
			check_found_text(c, p->sentinel ? CHECK_SENTINEL : CHECK_MANIFEST, p->file, p->line,
				NULL, p->text);
	}
}

static void take_pin(struct check *c, const struct pin *p)
{
	struct checked_pin *to = vec_push(&c->out->pins);
	*to = (struct checked_pin){.pin = p,
		.valid = grammar_valid(c, p) && (!p->problem || p->readable),
		.provenance = PROVENANCE_UNKNOWN};
	if (to->valid && !p->problem)
		return;
	if (to->valid) { /* it pulls what it says; only cooper pin will not touch it */
		check_found_text(c, CHECK_FIXED, p->file, p->line, NULL, p->problem);
		return;
	}
	if (name_valid(c, p) && !p->tag && !p->digest)
		check_found(c, CHECK_UNTAGGED, p->file, p->line, NULL, "%s: neither a tag nor a digest",
			p->image);
	else if (p->problem)
		check_found_text(c, CHECK_PIN, p->file, p->line, NULL, p->problem);
	else
		check_found(c, CHECK_PIN, p->file, p->line, NULL, "%s%s%s%s%s is no valid name of an image",
			p->image, p->tag ? ":" : "", p->tag ? p->tag : "", p->digest ? "@" : "",
			p->digest ? p->digest : "");
}

/* ---- where it comes from ---- */

static void judge_source(struct check *c, struct checked_pin *p, struct trace *t)
{
	const struct pin *pin = p->pin;
	const char *sep = pin->tag ? ":" : "@", *what = pin->tag ? pin->tag : pin->digest;
	p->provenance = t->provenance;
	p->reason = steal(&t->reason);
	memcpy(p->commit, t->commit, sizeof(p->commit));
	if (!p->valid) {
		mem_freep(&p->reason);
		p->reason = mem_strdup("the pin is not valid");
		return;
	}
	if (t->provenance == PROVENANCE_BRANCH)
		check_found(c, CHECK_BRANCH, pin->file, pin->line, NULL,
			"%s%s%s: built from commit %.7s, which is not on %s", pin->image, sep, what,
			t->commit, c->out->main);
	else if (t->provenance == PROVENANCE_UNKNOWN)
		check_found(c, CHECK_UNKNOWN, pin->file, pin->line, NULL,
			"%s%s%s: cannot tell whether it comes from %s: %s", pin->image, sep, what,
			c->out->main, p->reason);
}

static struct err *check_sources(struct check *c, struct trace *traces)
{
	size_t count = c->out->pins.len;
	AUTO_FREE const char **tags = mem_array(count + 1, sizeof(*tags));
	AUTO_FREE struct trace **unknown = mem_array(count + 1, sizeof(*unknown));
	for (size_t i = 0; i < count; i++) {
		const struct checked_pin *p = vec_at(&c->out->pins, i);
		tags[i] = p->valid ? p->pin->tag : NULL;
	}
	TRY(trace_tags(c->rq->repo, tags, traces, count));
	TRY(check_registry(c, traces));
	for (size_t i = 0; i < count; i++)
		unknown[i] = &traces[i];
	TRY(trace_labels(c->rq->repo, unknown, count));
	for (size_t i = 0; i < count; i++)
		judge_source(c, vec_at(&c->out->pins, i), &traces[i]);
	return NULL;
}

/* ---- one image, one tag ---- */

struct image_use {
	const struct pin *visible; /* the first that is looked at */
	struct strvec tags;        /* "tag (file:line)", the first place of each */
	struct map *seen;
};

static void image_use_free(void *p)
{
	struct image_use *u = p;
	strvec_fini(&u->tags);
	map_freep(&u->seen);
	mem_freep(&u);
}

static void note_use(struct map *uses, const struct pin *p, bool visible)
{
	struct image_use *u = map_get_c(uses, p->image);
	if (!u) {
		u = mem_new(struct image_use);
		u->seen = map_new(NULL);
		map_set_c(uses, p->image, u);
	}
	if (visible && !u->visible)
		u->visible = p;
	bool known = (p->tag && map_has(u->seen, str_c(p->tag))) ||
		     (p->digest && map_has(u->seen, str_c(p->digest)));
	if (p->tag)
		map_set_c(u->seen, p->tag, NULL);
	if (p->digest)
		map_set_c(u->seen, p->digest, NULL);
	if (!known)
		strvec_pushf(&u->tags, "%s (%s:%u)", p->tag ? p->tag : p->digest, p->file, p->line);
}

/* First those with both, which tell that a tag and a digest are the same image. */
static void note_uses(struct check *c, bool both, struct map *uses)
{
	for (size_t i = 0; i < c->out->scan.pins.len; i++) {
		const struct pin *p = vec_at(&c->out->scan.pins, i);
		if ((p->tag && p->digest) == both && grammar_valid(c, p))
			note_use(uses, p, check_scope_has(&c->scope, &c->config, p->file));
	}
}

#define TAGS_SHOWN 5

static void check_one_tag(struct check *c)
{
	AUTO(map_freep) struct map *uses = map_new(image_use_free);
	note_uses(c, true, uses);
	note_uses(c, false, uses);
	struct str image;
	void *value = NULL;
	for (size_t i = 0; map_next(uses, &i, &image, &value);) {
		const struct image_use *u = value;
		AUTO_BUF struct buf list = {0};
		if (u->tags.len < 2 || !u->visible)
			continue;
		for (size_t k = 0; k < u->tags.len && k < TAGS_SHOWN; k++)
			buf_addf(&list, "%s%s", k ? ", " : "", u->tags.ptr[k]);
		if (u->tags.len > TAGS_SHOWN)
			buf_addf(&list, " and %zu more", u->tags.len - TAGS_SHOWN);
		check_found(c, CHECK_TWO_TAGS, u->visible->file, u->visible->line, NULL,
			"%s is pinned at %zu tags: %s", image.ptr, u->tags.len, buf_cstr(&list));
	}
}

/* ---- all ---- */

struct err *check_manifests(struct check *c)
{
	AUTO_FREE char *prefix = release_prefix(&c->config);
	struct manifest_scan *scan = &c->out->scan;
	TRY(manifests_scan(c->rq->repo, &c->config, NULL, prefix, scan));
	check_problems(c);
	for (size_t i = 0; i < scan->pins.len; i++) {
		const struct pin *p = vec_at(&scan->pins, i);
		if (check_scope_has(&c->scope, &c->config, p->file))
			take_pin(c, p);
	}
	size_t count = c->out->pins.len;
	AUTO_FREE struct trace *traces = mem_array(count + 1, sizeof(*traces));
	struct err *e = check_sources(c, traces);
	for (size_t i = 0; i < count; i++)
		trace_fini(&traces[i]);
	TRY(e);
	check_one_tag(c);
	return NULL;
}
