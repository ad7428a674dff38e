/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/policy.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define DEFAULT_GRACE (24 * 3600 * CLOCK_SECOND)
#define DEFAULT_GC (3600 * CLOCK_SECOND)
#define DEFAULT_SCRUB (30 * 24 * 3600 * CLOCK_SECOND)
#define SHA "<sha>"
#define HEX_DIGITS "0123456789abcdef"

void registry_policy_init(struct registry_policy *p)
{
	*p = (struct registry_policy){
		.grace = DEFAULT_GRACE,
		.gc_every = DEFAULT_GC,
		.scrub_every = DEFAULT_SCRUB,
		.quotas = VEC_OF(struct registry_quota),
		.retention = VEC_OF(struct retention_rule),
		.caches = VEC_OF(struct registry_cache),
	};
	strvec_push(&p->immutable, "v*-" SHA);
	strvec_push(&p->immutable, "v*-" SHA "-nix");
}

void registry_policy_forget_quotas(struct registry_policy *p)
{
	for (size_t i = 0; i < p->quotas.len; i++)
		mem_freep(&((struct registry_quota *)vec_at(&p->quotas, i))->namespace_);
	vec_clear(&p->quotas);
}

void registry_policy_forget_retention(struct registry_policy *p)
{
	for (size_t i = 0; i < p->retention.len; i++) {
		struct retention_rule *r = vec_at(&p->retention, i);
		strvec_fini(&r->repositories);
		strvec_fini(&r->keep_tags);
	}
	vec_clear(&p->retention);
}

void registry_policy_forget_caches(struct registry_policy *p)
{
	for (size_t i = 0; i < p->caches.len; i++) {
		struct registry_cache *c = vec_at(&p->caches, i);
		mem_freep(&c->upstream);
		mem_freep(&c->prefix);
		strvec_fini(&c->repositories);
	}
	vec_clear(&p->caches);
}

void registry_policy_fini(struct registry_policy *p)
{
	registry_policy_forget_caches(p);
	vec_fini(&p->caches);
	registry_policy_forget_quotas(p);
	registry_policy_forget_retention(p);
	vec_fini(&p->quotas);
	vec_fini(&p->retention);
	strvec_fini(&p->immutable);
	strvec_fini(&p->pinned_in);
}

static bool all_hex(struct str s, size_t count)
{
	if (s.len < count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!s.ptr[i] || !strchr(HEX_DIGITS, s.ptr[i]))
			return false;
	return true;
}

/* Only the last star is ever gone back to, so the work is bounded by the product of the lengths. */
static bool match_simple(struct str pattern, struct str text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			from = t;
		} else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == text.ptr[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++from;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

/* What comes before the first "<sha>" and what comes after it, around each commit id of the text. */
bool policy_match(struct str pattern, struct str text)
{
	const char *at = memmem(pattern.ptr, pattern.len, SHA, strlen(SHA));
	if (!at)
		return match_simple(pattern, text);
	struct str before = str_n(pattern.ptr, (size_t)(at - pattern.ptr));
	struct str after = str_skip(pattern, before.len + strlen(SHA));
	static const size_t lengths[] = {7, 40};
	for (size_t i = 0; i < text.len; i++)
		for (size_t k = 0; k < ARRAY_LEN(lengths); k++)
			if (all_hex(str_skip(text, i), lengths[k]) &&
				match_simple(before, str_n(text.ptr, i)) &&
				match_simple(after, str_skip(text, i + lengths[k])))
				return true;
	return false;
}

static bool matches_any(const struct strvec *patterns, struct str text)
{
	for (size_t i = 0; i < patterns->len; i++)
		if (policy_match(str_c(patterns->ptr[i]), text))
			return true;
	return false;
}

bool policy_immutable(const struct registry_policy *p, struct str tag)
{
	return matches_any(&p->immutable, tag);
}

const struct retention_rule *policy_retention(const struct registry_policy *p, struct str repository)
{
	for (size_t i = 0; i < p->retention.len; i++) {
		const struct retention_rule *r = vec_at(&p->retention, i);
		if (!r->repositories.len || matches_any(&r->repositories, repository))
			return r;
	}
	return NULL;
}

uint64_t policy_quota(const struct registry_policy *p, struct str namespace_)
{
	uint64_t others = UINT64_MAX;
	for (size_t i = 0; i < p->quotas.len; i++) {
		const struct registry_quota *q = vec_at(&p->quotas, i);
		if (str_eq_c(namespace_, q->namespace_))
			return q->bytes;
		if (cstr_eq(q->namespace_, "*"))
			others = q->bytes;
	}
	return others;
}

struct str policy_namespace(struct str repository)
{
	ptrdiff_t slash = str_index(repository, '/');
	return slash < 0 ? repository : str_n(repository.ptr, (size_t)slash);
}

const struct registry_cache *policy_cache(
	const struct registry_policy *p, struct str repository, struct str *there)
{
	for (size_t i = 0; i < p->caches.len; i++) {
		const struct registry_cache *c = vec_at(&p->caches, i);
		if (!str_starts(repository, c->prefix))
			continue;
		struct str rest = str_skip(repository, strlen(c->prefix));
		if (rest.len && rest.ptr[0] != '/')
			continue;
		*there = rest.len ? str_skip(rest, 1) : rest;
		return c;
	}
	return NULL;
}

const char *policy_upstream_name(const char *name)
{
	return cstr_eq(name, "index.docker.io") || cstr_eq(name, "registry-1.docker.io") ? "docker.io" : name;
}

bool policy_cache_offers(const struct registry_cache *c, struct str there)
{
	return !c->repositories.len || matches_any(&c->repositories, there);
}

void policy_copy_names(const struct registry_cache *c, struct str rest, char **there, char **here)
{
	bool bare = cstr_eq(c->upstream, "docker.io") && rest.len && str_index(rest, '/') < 0;
	*there = mem_printf("%s" STR_FMT, bare ? "library/" : "", STR_ARG(rest));
	*here = **there ? mem_printf("%s/%s", c->prefix, *there) : mem_strdup(c->prefix);
}

static const struct registry_cache *cache_of_upstream(const struct registry_policy *p, const char *name)
{
	for (size_t i = 0; i < p->caches.len; i++) {
		const struct registry_cache *c = vec_at(&p->caches, i);
		if (cstr_eq(c->upstream, policy_upstream_name(name)))
			return c;
	}
	return NULL;
}

bool policy_place(const struct registry_policy *p, struct str repository, const char *ns,
	const struct registry_cache **cache, char **there, char **here)
{
	struct str rest = repository;
	const struct registry_cache *named = ns && *ns ? cache_of_upstream(p, ns) : NULL;
	const struct registry_cache *below = policy_cache(p, repository, &rest);
	if (ns && *ns && !named)
		return false;
	/* A client may be told to put the prefix before it, and say ns, too. */
	if (named && below != named)
		rest = repository;
	*cache = named ? named : below;
	*there = *here = NULL;
	if (*cache)
		policy_copy_names(*cache, rest, there, here);
	else
		*here = mem_strndup(repository.ptr, repository.len);
	return true;
}
