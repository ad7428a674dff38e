/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/repo.h"

#include <assert.h>
#include <string.h>

/* Whatever a build file declares must be fit for a tag. */
static void check(const char *version)
{
	struct commit c = {.short_id = "0123456"};
	AUTO_FREE char *tag = release_tag(version, &c, KIND_NIX);
	assert(strlen(tag) <= 128);
	bool ok = false;
	struct tag_parts parts = {0};
	tag_parse(tag, &ok, &parts);
	assert(ok && parts.nix);
	assert(version_cmp(version, version) == 0);
	tag_parts_fini(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int kind = 0; kind < BUILD_KINDS; kind++) {
		AUTO_FREE char *version = NULL;
		struct err *e =
			version_extract(kind, str_n((const char *)data, size), "input", NULL, &version);
		if (!e && version)
			check(version);
		err_free(e);
	}
	return 0;
}
