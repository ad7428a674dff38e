/* SPDX-License-Identifier: Apache-2.0 */
/* An ignore file's text up to the first NUL byte, then a path that it is asked about. */
#include "base/ignore.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	size_t len = nul ? (size_t)(nul - data) : size;
	AUTO_STRVEC struct strvec patterns = {0};
	AUTO(ignore_freep) struct ignore *ig = NULL;
	struct err *e = ignore_parse(str_n((const char *)data, len), &patterns);
	if (!e)
		e = ignore_new(strvec_list(&patterns), &ig);
	if (e) {
		err_free(e);
		return 0;
	}
	AUTO_FREE char *raw = nul ? mem_strndup((const char *)nul + 1, size - len - 1) : mem_strdup("a/b");
	AUTO_FREE char *path = path_rooted(raw);
	const char *rule;
	ignore_match(ig, path, &rule);
	ignore_may_match_below(ig, path, false);
	ignore_may_match_below(ig, path, true);
	return 0;
}
