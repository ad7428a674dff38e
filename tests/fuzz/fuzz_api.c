/* SPDX-License-Identifier: Apache-2.0 */
/* What the API takes from the wire: the first byte says which parser gets the rest. */
#include "base/mem.h"
#include "server/api_body.h"
#include "server/api_internal.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void path(const char *text)
{
	struct api_path p;
	AUTO_BUF struct buf allowed = {0};
	const struct api_route *r = api_route_find("GET", text, &p, &allowed);
	if (r)
		assert(p.run >= 0 && p.job >= 0 && p.name.len <= 64);
	else
		assert(!p.run && !p.job && !p.name.len);
	uint64_t n = 1;
	struct err *e = api_number(text, "n", 1, 100, &n);
	assert(n >= 1 && n <= 100);
	err_free(e);
}

static void header(const char *text)
{
	AUTO_BUF struct buf token = {0};
	if (!auth_read_header(text, &token))
		assert(!token.len);
	(void)auth_listen_is_loopback(text);
}

static void token_body(const json_t *o)
{
	struct token_request t = {0};
	struct err *e = body_token(o, &t);
	if (!e)
		assert(t.token.name && t.lasts >= 0);
	err_free(e);
	token_request_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	AUTO_FREE char *text = mem_strndup((const char *)data + 1, size - 1);
	if (data[0] == 'p') {
		path(text);
	} else if (data[0] == 'h') {
		header(text);
	} else {
		AUTO_JSON json_t *o = NULL;
		struct err *e = json_parse(str_n((const char *)data + 1, size - 1), "fuzz", &o);
		err_free(e);
		if (json_is_object(o) && data[0] == 't')
			token_body(o);
	}
	return 0;
}
