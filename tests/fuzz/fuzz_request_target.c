/* SPDX-License-Identifier: Apache-2.0 */
/* The target of a request line: path and query as the server decodes them. */
#include "base/mem.h"
#include "http/server_internal.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_exchange *x = mem_new(struct http_exchange);
	x->uri = mem_strndup((const char *)data, size);
	exchange_parse_uri(x);
	if (!x->bad_uri)
		assert(x->path && (x->path[0] == '/' || strcmp(x->path, "*") == 0));
	assert(x->query.len % 2 == 0);
	for (unsigned i = 0; http_query_at(x, "digest", i); i++)
		assert(strlen(http_query_at(x, "digest", i)) <= size);
	exchange_free(x);
	return 0;
}
