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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_strndup((const char *)data, size);
	char *second = strchr(text, '\n');
	if (second)
		*second++ = '\0';
	check_route(text);
	check_ranges(text);
	check_patterns(text, second ? second : "");
	free(text);
	return 0;
}
