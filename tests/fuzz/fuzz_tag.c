/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/repo.h"

#include <assert.h>

/* Two texts, divided by a newline: tags are taken apart, and their order must not depend on which comes
 * first. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), first;
	if (!str_split(&rest, '\n', &first))
		return 0;
	AUTO_FREE char *a = mem_strndup(first.ptr, first.len),
		       *b = rest.ptr ? mem_strndup(rest.ptr, rest.len) : mem_strdup("");
	struct tag_parts parts = {0};
	bool ok = false;
	tag_parse(a, &ok, &parts);
	if (ok)
		tag_parts_fini(&parts);
	int there = version_cmp(a, b), back = version_cmp(b, a);
	assert((there > 0) == (back < 0) && (there == 0) == (back == 0));
	return 0;
}
