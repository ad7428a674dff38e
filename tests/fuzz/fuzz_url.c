/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a URL, and after the first newline a reference that is resolved against it. */
#include "base/mem.h"
#include "http/client.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = mem_strndup((const char *)data, size);
	char *ref = strchr(text, '\n');
	if (ref)
		*ref++ = '\0';
	AUTO(url_fini) struct url u = {0};
	struct err *e = url_parse(text, &u);
	AUTO_FREE char *shown = url_for_message(text);
	if (!e) {
		assert(u.path[0] == '/' && *u.host && u.port);
		(void)host_is_loopback(u.host);
	}
	err_free(e);
	AUTO_FREE char *resolved = NULL;
	AUTO(err_freep) struct err *bad = url_resolve(text, ref ? ref : "", &resolved);
	if (bad)
		return 0;
	/* What was resolved is a URL again. */
	AUTO(url_fini) struct url again = {0};
	AUTO(err_freep) struct err *e2 = url_parse(resolved, &again);
	assert(!e2);
	return 0;
}
