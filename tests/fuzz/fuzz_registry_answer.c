/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of a registry: header lines up to an empty one, then the body. What the client reads of it
 * besides documents: words of errors, limits, the next page, tags of what is attached. */
#include "base/mem.h"
#include "oci/attached.h"
#include "remote/remote_internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answer(struct str text, struct http_response *r)
{
	struct str line;
	while (str_split(&text, '\n', &line) && line.len)
		if (!memchr(line.ptr, '\0', line.len))
			strvec_push_str(&r->headers, line);
	buf_add(&r->body, text.ptr ? text.ptr : "", text.len);
	r->final_url = mem_strdup("https://registry.example/v2/a/tags/list");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(http_response_fini) struct http_response r = {.status = 429};
	struct endpoint ep = {.name = (char[]){"registry.example"}};
	struct digest subject;
	read_answer(str_n((const char *)data, size), &r);
	AUTO_FREE char *words = answer_words(&r);
	AUTO_FREE char *code = answer_code(&r);
	AUTO_FREE char *next = NULL;
	AUTO_FREE char *tag = mem_strndup((const char *)data, size);
	(void)answer_limit_spent(&r, 1000000000);
	err_free(answer_limit(&ep, &r, err_new(ERR_UNAVAILABLE, "%s %s", words, code)));
	err_free(answer_next_page(&r, "the list", NULL, &next));
	err_free(answer_unpacked(&r));
	if (attached_tag_parse(tag, &subject)) {
		AUTO_FREE char *base = attached_tag_of(&subject);
		if (!cstr_starts(tag, base))
			abort();
	}
	return 0;
}
