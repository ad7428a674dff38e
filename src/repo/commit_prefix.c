/* SPDX-License-Identifier: Apache-2.0 */
/* Commits by the first characters of their names. */
#include "base/mem.h"
#include "repo/repo_internal.h"

#include <string.h>

/* Up to so many are looked up one by one; for more, reading the names of all objects once is cheaper. */
#define SINGLE_LOOKUPS 200
/* Names are told apart by their first 16 bits before they are compared. */
#define KEYS 65536

struct wanted {
	struct commit_prefix *to;
	git_oid prefix;
	size_t len;
	bool open; /* the scan has to answer it */
};

struct search {
	const struct repo *repo;
	git_odb *odb;
	struct wanted *list;
	size_t count;
	/* of the scan: those with key k are list[order[first[k]]] up to, not including, first[k + 1] */
	uint32_t *first, *order;
};

static void search_fini(struct search *s)
{
	git_odb_freep(&s->odb);
	mem_freep(&s->list);
	mem_freep(&s->first);
	mem_freep(&s->order);
}

static size_t key_of(const git_oid *id)
{
	return (size_t)id->id[0] << 8 | id->id[1];
}

static void add_if_commit(const struct search *s, const git_oid *id, struct vec *out)
{
	size_t size = 0;
	git_object_t type = GIT_OBJECT_INVALID;
	if (s->repo->g->git_odb_read_header(&size, &type, s->odb, id) < 0 || type != GIT_OBJECT_COMMIT)
		return;
	for (size_t i = 0; i < out->len; i++)
		if (s->repo->g->git_oid_equal(vec_at(out, i), id))
			return; /* packed and loose at once */
	vec_push_copy(out, id);
}

static int visit_object(const git_oid *id, void *payload)
{
	const struct search *s = payload;
	size_t key = key_of(id);
	for (uint32_t i = s->first[key]; i < s->first[key + 1]; i++) {
		const struct wanted *w = &s->list[s->order[i]];
		if (s->repo->g->git_oid_ncmp(id, &w->prefix, w->len) == 0)
			add_if_commit(s, id, &w->to->commits);
	}
	return 0;
}

/* Reads the name of every object once. */
static int scan(struct search *s)
{
	s->first = mem_array(KEYS + 2, sizeof(*s->first));
	s->order = mem_array(s->count, sizeof(*s->order));
	/* Counted one place up, so that filling moves first[key + 1] to where key's own begin and end. */
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].open)
			s->first[key_of(&s->list[i].prefix) + 2]++;
	for (size_t k = 2; k < KEYS + 2; k++)
		s->first[k] += s->first[k - 1];
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].open)
			s->order[s->first[key_of(&s->list[i].prefix) + 1]++] = (uint32_t)i;
	return s->repo->g->git_odb_foreach(s->odb, visit_object, s);
}

/* *found_several when only the scan can tell them all. */
static int look_up(const struct search *s, const struct wanted *w, bool *found_several)
{
	git_oid one;
	int rc = w->len == 40 ? (s->repo->g->git_odb_exists(s->odb, &w->prefix) ? 0 : GIT_ENOTFOUND)
			      : s->repo->g->git_odb_exists_prefix(&one, s->odb, &w->prefix, w->len);
	*found_several = rc == GIT_EAMBIGUOUS;
	if (rc == 0)
		add_if_commit(s, w->len == 40 ? &w->prefix : &one, &w->to->commits);
	return rc == GIT_ENOTFOUND || rc == GIT_EAMBIGUOUS ? 0 : rc;
}

struct err *repo_commits_with_prefixes(const struct repo *r, struct commit_prefix *list, size_t count)
{
	AUTO(search_fini) struct search s = {.repo = r, .count = count};
	s.list = mem_array(count ? count : 1, sizeof(*s.list));
	int rc = r->g->git_repository_odb(&s.odb, r->git);
	if (rc < 0)
		return repo_git_error(r, rc, "opening the objects of %s", r->root);
	bool need_scan = false;
	for (size_t i = 0; i < count; i++) {
		struct wanted *w = &s.list[i];
		*w = (struct wanted){.to = &list[i], .len = strlen(list[i].hex), .open = true};
		if (w->len < 4 || r->g->git_oid_fromstrn(&w->prefix, list[i].hex, w->len) < 0)
			return err_new(ERR_INVALID, "\"%s\" is no commit id", list[i].hex);
		if (count <= SINGLE_LOOKUPS)
			rc = look_up(&s, w, &w->open);
		if (rc < 0)
			return repo_git_error(r, rc, "looking for commits that begin with %s", list[i].hex);
		need_scan |= w->open;
	}
	if (need_scan && (rc = scan(&s)) < 0)
		return repo_git_error(r, rc, "reading the names of all objects of %s", r->root);
	return NULL;
}

struct err *repo_commits_with_prefix(const struct repo *r, const char *hex, struct vec *out)
{
	struct commit_prefix one = {.hex = hex, .commits = VEC_OF(git_oid)};
	struct err *e = repo_commits_with_prefixes(r, &one, 1);
	for (size_t i = 0; i < one.commits.len && !e; i++)
		vec_push_copy(out, vec_at(&one.commits, i));
	vec_fini(&one.commits);
	return e;
}
