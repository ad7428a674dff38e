/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/upstream_tag.h"

#include <assert.h>
#include <string.h>

/* What is asked for on the first line (empty: the newest), then a listing of tags. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), first;
	if (!str_split(&rest, '\n', &first))
		return 0;
	AUTO_FREE char *version = mem_strndup(first.ptr, first.len);
	AUTO(upstream_tag_fini) struct upstream_tag t = {0};
	AUTO(err_freep) struct err *e = upstream_choose_tag(rest, *version ? version : NULL, &t);
	if (!e)
		assert(strlen(t.commit) == 40 && *t.version && strstr(t.tag, "{version}"));
	return 0;
}
