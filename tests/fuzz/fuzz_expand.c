/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses the options, the rest is a word. */
#include "base/buf.h"
#include "base/mem.h"
#include "dockerfile/expand.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *get(void *ctx, const char *name)
{
	(void)ctx;
	switch (name[0]) {
	case 'a':
		return "some/value with blanks.tar.gz";
	case 'e':
		return "";
	case 'x':
		return "aaaaaaaaaaaaaaaaaaaaaaaa*?\\\xff\xc3";
	default:
		return NULL;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	uint8_t o = data[0];
	struct expander x = {
		.escape = o & 1 ? '`' : '\\',
		.quotes_are_text = o & 2,
		.keep_quotes = o & 4,
		.keep_escapes = o & 8,
		.keep_unset = o & 16,
		.get = get,
	};
	char *word = mem_strndup((const char *)data + 1, size - 1);
	struct buf out = {0};
	struct strvec words = {0};
	err_free(expand_word(&x, word, &out));
	err_free(expand_words(&x, word, &words));
	buf_fini(&out);
	strvec_fini(&words);
	free(word);
	return 0;
}
