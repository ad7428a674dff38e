/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/attached.h"

#include "base/mem.h"
#include "remote/relay.h"
#include "remote/remote_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SUBJECTS_MAX 2000
#define PAGES_MAX 1000
#define LISTED_MAX 20000
#define LIST_MAX ((size_t)16 << 20)

static const struct transfer_io no_io;

/* ---- what a registry lists ---- */

static struct call get_call(const struct route *route, const char *path, const struct transfer_io *io)
{
	return (struct call){.endpoint = route->endpoint,
		.repository = route->repository,
		.actions = "pull",
		.method = "GET",
		.path = path,
		.headers = {TAKES_MANIFESTS},
		.max_body = LIST_MAX,
		.io = io};
}

static struct err *take_entries(const struct http_response *r, const char *what, struct vec *out)
{
	AUTO(manifest_fini) struct manifest m = {0};
	TRY(answer_unpacked(r));
	struct err *e = manifest_parse(buf_str(&r->body), MEDIA_OCI_INDEX, &m);
	if (e)
		return err_wrap(e, "%s", what);
	for (size_t i = 0; m.kind == MANIFEST_INDEX && i < m.entries.len; i++)
		descriptors_add(out, vec_at(&m.entries, i));
	if (out->len > LISTED_MAX)
		return err_new(ERR_INVALID, "%s has more than %d entries", what, LISTED_MAX);
	return NULL;
}

/* Registries without the API answer 404, or with the page of their web interface. */
static bool is_list(const struct http_response *r)
{
	const char *type = http_response_header(r, "Content-Type", 0);
	return r->status == 200 && type && strncasecmp(type, MEDIA_OCI_INDEX, strlen(MEDIA_OCI_INDEX)) == 0;
}

/* By the API. Nothing where there is none. */
static struct err *ask_api(const struct route *route, const struct digest *d, const struct transfer_io *io,
	struct vec *out, bool *offered)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_STRVEC struct strvec seen = {0};
	AUTO_FREE char *path = mem_printf("/v2/%s/referrers/%s", route->repository, digest_text(d, text));
	for (int page = 0; path; page++) {
		const struct call c = get_call(route, path, io);
		AUTO(http_response_fini) struct http_response r = {0};
		if (page == PAGES_MAX)
			return err_new(
				ERR_INVALID, "the referrers of %s have more than %d pages", text, PAGES_MAX);
		TRY(call_run(&c, &r));
		if (status_may_pass(r.status) || (page && !is_list(&r)))
			return answer_error(&c, &r);
		if (!is_list(&r))
			return NULL;
		*offered = true;
		TRY(take_entries(&r, "the list of referrers", out));
		char *next = NULL;
		TRY(answer_next_page(&r, "the list of referrers", &seen, &next));
		mem_freep(&path);
		path = next;
	}
	return NULL;
}

/* By the index at the tag that stands for the digest. */
static struct err *ask_tag(
	const struct route *route, const struct digest *d, const struct transfer_io *io, struct vec *out)
{
	AUTO_FREE char *tag = attached_tag_of(d);
	AUTO_FREE char *path = mem_printf("/v2/%s/manifests/%s", route->repository, tag);
	const struct call c = get_call(route, path, io);
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	if (r.status == 404)
		return NULL;
	if (r.status != 200)
		return answer_error(&c, &r);
	/* Some read that tag as the digest, and answer with the subject itself. */
	struct digest have;
	digest_of(r.body.ptr ? r.body.ptr : "", r.body.len, &have);
	return digest_eq(&have, d) ? NULL : take_entries(&r, tag, out);
}

/* ---- pulling ---- */

struct gather {
	struct remote *remote;
	const struct reference *ref;
	struct route route;
	const struct transfer_io *io;
	struct strvec tags;
	struct vec subjects; /* of struct descriptor: asked for in turn */
	struct vec *out;
};

/* The manifest and those it names, as far as they are in the store. */
static struct err *add_subject(struct gather *g, const struct descriptor *d)
{
	size_t at = g->subjects.len;
	descriptors_add(&g->subjects, d);
	for (; at < g->subjects.len; at++) {
		struct digest digest = ((struct descriptor *)vec_at(&g->subjects, at))->digest;
		AUTO(manifest_fini) struct manifest m = {0};
		AUTO_BUF struct buf bytes = {0};
		int64_t size = -1;
		if (g->subjects.len > SUBJECTS_MAX)
			return err_new(ERR_INVALID,
				"it and what is attached to it are more than %d manifests", SUBJECTS_MAX);
		TRY(store_blob_stat(g->remote->store, &digest, &size));
		if (size < 0)
			continue;
		TRY(store_blob_read(g->remote->store, &digest, MANIFEST_MAX, &bytes));
		TRY(manifest_parse(buf_str(&bytes), NULL, &m));
		for (size_t i = 0; m.kind == MANIFEST_INDEX && i < m.entries.len; i++) {
			const struct descriptor *child = vec_at(&m.entries, i);
			TRY(store_blob_stat(g->remote->store, &child->digest, &size));
			if (size >= 0 && media_type_is_manifest(child->media_type))
				descriptors_add(&g->subjects, child);
		}
	}
	return NULL;
}

/* Does the manifest say that it is about something else than it was listed for? */
static struct err *is_about_another(
	struct gather *g, const struct digest *subject, const struct digest *digest, bool *out)
{
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO_BUF struct buf bytes = {0};
	TRY(store_blob_read(g->remote->store, digest, MANIFEST_MAX, &bytes));
	TRY(manifest_parse(buf_str(&bytes), NULL, &m));
	*out = m.has_subject && !digest_eq(&m.subject.digest, subject);
	return NULL;
}

static struct err *take(
	struct gather *g, const struct digest *subject, const struct descriptor *d, const char *tag)
{
	struct reference from = {.registry = g->ref->registry,
		.repository = g->ref->repository,
		.tag = (char *)(uintptr_t)tag,
		.digest = d->digest};
	struct descriptor top = {0};
	char text[DIGEST_TEXT_MAX];
	bool another = false;
	const struct remote_pull_options all = {.all_platforms = true, .without_foreign = true};
	struct err *e = remote_pull(g->remote, &from, &all, g->io, &top);
	if (err_kind(e) == ERR_NOT_FOUND && !tag) {
		AUTO_FREE char *why = err_text(e);
		event_warn(g->io->events, (struct source_range){0},
			"the registry lists %s as attached, and does not have it: %s",
			digest_text(&d->digest, text), why);
		err_ignore(e, "lists that clients keep name what was deleted");
		return NULL;
	}
	TRY(e);
	if (!tag)
		TRY(is_about_another(g, subject, &top.digest, &another));
	if (another) {
		event_info(g->io->events, "%s stays behind: it is about another image than it is listed for",
			digest_text(&top.digest, text));
		return NULL;
	}
	struct attached *a = vec_push(g->out);
	*a = (struct attached){.subject = *subject, .tag = mem_strdup(tag)};
	descriptor_copy(d, &a->manifest);
	a->manifest.size = top.size;
	a->manifest.digest = top.digest;
	snprintf(a->manifest.media_type, sizeof(a->manifest.media_type), "%s", top.media_type);
	return add_subject(g, &top);
}

static struct err *take_referrers(struct gather *g, const struct digest *subject)
{
	AUTO(descriptors_fini) struct vec found = VEC_OF(struct descriptor);
	AUTO_FREE char *tag = attached_tag_of(subject);
	bool offered = false;
	TRY(ask_api(&g->route, subject, g->io, &found, &offered));
	if (strvec_has(&g->tags, tag))
		TRY(ask_tag(&g->route, subject, g->io, &found));
	for (size_t i = 0; i < found.len; i++) {
		const struct descriptor *d = vec_at(&found, i);
		char text[DIGEST_TEXT_MAX];
		if (!media_type_is_manifest(d->media_type))
			event_info(g->io->events, "%s stays behind: a %s", digest_text(&d->digest, text),
				d->media_type);
		else if (!descriptors_have(&g->subjects, &d->digest))
			TRY(take(g, subject, d, NULL));
	}
	return NULL;
}

static struct err *take_tags(struct gather *g, const struct digest *subject)
{
	for (size_t i = 0; i < g->tags.len; i++) {
		struct digest about;
		if (attached_tag_parse(g->tags.ptr[i], &about) && digest_eq(&about, subject))
			TRY(take(g, subject, &(struct descriptor){0}, g->tags.ptr[i]));
	}
	return NULL;
}

static struct err *gather(struct gather *g, const struct descriptor *image)
{
	TRY(remote_tags(g->remote, g->ref, g->io, &g->tags));
	TRY(add_subject(g, image));
	for (size_t i = 0; i < g->subjects.len; i++) {
		struct digest subject = ((struct descriptor *)vec_at(&g->subjects, i))->digest;
		TRY(take_referrers(g, &subject));
		TRY(take_tags(g, &subject));
	}
	return NULL;
}

struct err *remote_pull_attached(struct remote *r, const struct reference *ref,
	const struct descriptor *image, const struct transfer_io *io, struct vec *out)
{
	struct gather g = {.remote = r,
		.ref = ref,
		.io = io ? io : &no_io,
		.subjects = VEC_OF(struct descriptor),
		.out = out};
	TRY(route_for_push(r, ref, &g.route));
	struct err *e = gather(&g, image);
	route_fini(&g.route);
	strvec_fini(&g.tags);
	descriptors_fini(&g.subjects);
	if (!e)
		return NULL;
	AUTO_FREE char *text = reference_text(ref);
	return err_wrap(e, "pulling what is attached to %s", text);
}

/* ---- pushing ---- */

struct lists {
	struct remote *remote;
	struct route route;
	const struct vec *attached;
	const struct transfer_io *io;
};

static struct err *put_index(struct lists *l, const char *tag, const struct vec *entries)
{
	AUTO_FREE char *text = index_write(vec_at(entries, 0), entries->len, NULL);
	AUTO_FREE char *path = mem_printf("/v2/%s/manifests/%s", l->route.repository, tag);
	const struct call c = {.endpoint = l->route.endpoint,
		.repository = l->route.repository,
		.actions = "pull,push",
		.method = "PUT",
		.path = path,
		.headers = {"Content-Type: " MEDIA_OCI_INDEX},
		.body = str_c(text),
		.io = l->io};
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	return r.status >= 200 && r.status < 300 ? NULL : answer_error(&c, &r);
}

/* The index at the tag has what the registry does not list by itself. */
static struct err *complete_list(struct lists *l, const struct digest *subject)
{
	AUTO(descriptors_fini) struct vec known = VEC_OF(struct descriptor);
	AUTO(descriptors_fini) struct vec entries = VEC_OF(struct descriptor);
	AUTO_FREE char *tag = attached_tag_of(subject);
	bool offered = false;
	TRY(ask_api(&l->route, subject, l->io, &known, &offered));
	bool all = true;
	for (size_t i = 0; i < l->attached->len; i++) {
		const struct attached *a = vec_at(l->attached, i);
		if (!a->tag && digest_eq(&a->subject, subject))
			all &= descriptors_have(&known, &a->manifest.digest);
	}
	if (all)
		return NULL;
	TRY(ask_tag(&l->route, subject, l->io, &entries));
	size_t before = entries.len;
	for (size_t i = 0; i < l->attached->len; i++) {
		const struct attached *a = vec_at(l->attached, i);
		if (!a->tag && digest_eq(&a->subject, subject) &&
			!descriptors_have(&known, &a->manifest.digest))
			descriptors_add(&entries, &a->manifest);
	}
	return entries.len == before ? NULL : put_index(l, tag, &entries);
}

static struct err *complete_lists(struct lists *l)
{
	for (size_t i = 0; i < l->attached->len; i++) {
		const struct attached *a = vec_at(l->attached, i);
		bool seen = a->tag != NULL;
		for (size_t k = 0; k < i && !seen; k++) {
			const struct attached *b = vec_at(l->attached, k);
			seen = !b->tag && digest_eq(&a->subject, &b->subject);
		}
		if (!seen)
			TRY(complete_list(l, &a->subject));
	}
	return NULL;
}

static struct err *push_all(struct lists *l, const struct reference *to)
{
	for (size_t i = 0; i < l->attached->len; i++) {
		const struct attached *a = vec_at(l->attached, i);
		const struct reference target = {.registry = to->registry,
			.repository = to->repository,
			.tag = a->tag,
			.digest = a->tag ? (struct digest){0} : a->manifest.digest};
		bool already = false;
		TRY(remote_push(l->remote, &a->manifest, &target, true, l->io, &already));
	}
	return complete_lists(l);
}

struct err *remote_push_attached(struct remote *r, const struct vec *attached, const struct reference *to,
	const struct transfer_io *io)
{
	struct lists l = {.remote = r, .attached = attached, .io = io ? io : &no_io};
	TRY(route_for_push(r, to, &l.route));
	struct err *e = push_all(&l, to);
	route_fini(&l.route);
	if (!e)
		return NULL;
	AUTO_FREE char *text = reference_text(to);
	return err_wrap(e, "pushing what is attached to %s", text);
}

struct err *remote_referrers(struct remote *r, const struct reference *repo, const struct digest *d,
	const struct transfer_io *io, struct vec *out, bool *offered)
{
	struct route route = {0};
	*offered = false;
	TRY(route_for_push(r, repo, &route));
	struct err *e = ask_api(&route, d, io ? io : &no_io, out, offered);
	route_fini(&route);
	return e ? err_wrap(e, "listing what %s/%s has about an image", repo->registry, repo->repository)
		 : NULL;
}
