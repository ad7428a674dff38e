/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry reads of a request beside its JSON: path, ranges, and text against patterns; a line each.
 */
#include "base/mem.h"
#include "http/range.h"
#include "registry/policy.h"
#include "registry/registry_internal.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_route(const char *path)
{
	struct route r;
	registry_route(path, &r);
	const char *end = path + strlen(path);
	if (r.repository.len)
		assert(r.repository.ptr >= path && r.repository.ptr + r.repository.len <= end);
	if (r.reference.len)
		assert(r.reference.ptr >= path && r.reference.ptr + r.reference.len <= end);
}

static void check_ranges(const char *text)
{
	uint64_t from = 0, length = 0, to = 0;
	static const uint64_t sizes[] = {0, 1, 1000, UINT64_MAX / 2};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		if (range_parse(text, sizes[i], &from, &length) == RANGE_PART)
			assert(length > 0 && from < sizes[i] && length <= sizes[i] - from);
	if (content_range_parse(text, &from, &to))
		assert(from <= to);
}

static void check_patterns(const char *pattern, const char *text)
{
	struct str p = str_c(pattern), t = str_c(text);
	bool any = policy_match(STR("*"), t);
	assert(any);
	policy_match(p, t);
	if (!strpbrk(pattern, "*?<"))
		assert(policy_match(p, t) == str_eq(p, t));
	assert(policy_namespace(t).len <= t.len);
}

/* Whatever is asked for leads to a repository here, or to one of the two upstreams. */
static void check_place(const char *path, const char *ns)
{
	struct registry_cache caches[] = {{.upstream = (char *)"docker.io", .prefix = (char *)"docker.io"},
		{.upstream = (char *)"lab.example:5000", .prefix = (char *)"mirrors/lab"}};
	const struct registry_policy p = {
		.caches = {.ptr = caches, .len = 2, .cap = 2, .size = sizeof(caches[0])}};
	const struct registry_cache *cache = NULL;
	char *there = NULL, *here = NULL;
	struct route r;
	registry_route(path, &r);
	if (!repository_valid(r.repository) || !policy_place(&p, r.repository, ns, &cache, &there, &here))
		return;
	assert(here && !cache == !there);
	if (cache) {
		struct str rest;
		assert(policy_cache(&p, str_c(here), &rest) == cache && str_eq_c(rest, there));
		assert(!*ns || cstr_eq(policy_upstream_name(ns), cache->upstream));
	} else {
		assert(str_eq_c(r.repository, here) && !*ns);
	}
	free(there);
	free(here);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_strndup((const char *)data, size);
	char *second = strchr(text, '\n');
	if (second)
		*second++ = '\0';
	check_route(text);
	check_ranges(text);
	check_patterns(text, second ? second : "");
	check_place(text, second ? second : "");
	free(text);
	return 0;
}
