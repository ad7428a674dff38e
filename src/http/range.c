/* SPDX-License-Identifier: Apache-2.0 */
#include "http/range.h"

#include <string.h>

static enum range_result suffix(struct str digits, uint64_t size, uint64_t *from, uint64_t *length)
{
	uint64_t n;
	if (!str_to_u64(digits, &n))
		return RANGE_WHOLE;
	if (n == 0 || size == 0)
		return RANGE_UNSATISFIABLE;
	*length = n < size ? n : size;
	*from = size - *length;
	return RANGE_PART;
}

/* Several ranges, other units and nonsense are ignored, as the RFC allows; a range that ends before it starts
 * is not. */
enum range_result range_parse(const char *header, uint64_t size, uint64_t *from, uint64_t *length)
{
	struct str s = str_trim(str_c(header));
	if (!header || s.len < 6 || !str_eq_nocase(str_n(s.ptr, 6), "bytes=") || str_index(s, ',') >= 0)
		return RANGE_WHOLE;
	s = str_trim(str_skip(s, 6));
	ptrdiff_t dash = str_index(s, '-');
	if (dash < 0)
		return RANGE_WHOLE;
	struct str first = str_n(s.ptr, (size_t)dash), last = str_skip(s, (size_t)dash + 1);
	if (first.len == 0)
		return suffix(last, size, from, length);
	uint64_t a, b = UINT64_MAX;
	if (!str_to_u64(first, &a) || (last.len && !str_to_u64(last, &b)))
		return RANGE_WHOLE;
	if (a >= size || b < a)
		return RANGE_UNSATISFIABLE;
	if (b >= size)
		b = size - 1;
	*from = a;
	*length = b - a + 1;
	return RANGE_PART;
}

bool content_range_parse(const char *header, uint64_t *from, uint64_t *to)
{
	struct str s = str_trim(str_c(header));
	if (s.len > 5 && str_eq_nocase(str_n(s.ptr, 5), "bytes"))
		s = str_trim(str_skip(s, str_starts(str_skip(s, 5), "=") ? 6 : 5));
	ptrdiff_t slash = str_index(s, '/');
	if (slash >= 0)
		s.len = (size_t)slash;
	ptrdiff_t dash = str_index(s, '-');
	if (dash < 0)
		return false;
	return str_to_u64(str_n(s.ptr, (size_t)dash), from) &&
	       str_to_u64(str_skip(s, (size_t)dash + 1), to) && *to >= *from;
}
