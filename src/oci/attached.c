/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/attached.h"

#include "base/mem.h"

#include <string.h>

static void attached_fini(struct attached *a)
{
	descriptor_fini(&a->manifest);
	mem_freep(&a->tag);
}

void attached_list_fini(struct vec *list)
{
	for (size_t i = 0; i < list->len; i++)
		attached_fini(vec_at(list, i));
	vec_fini(list);
}

char *attached_tag_of(const struct digest *d)
{
	char hex[DIGEST_TEXT_MAX];
	/* A tag has no more than 128 characters, so a sha512 is cut. */
	return mem_printf("%.32s-%.64s", digest_algo_name(d->algo), digest_hex(d, hex));
}

bool attached_tag_parse(const char *tag, struct digest *subject)
{
	const char *dot = strchr(tag, '.');
	if (!dot || !dot[1] || !cstr_starts(tag, "sha256-"))
		return false;
	AUTO_FREE char *text = mem_strndup(tag, (size_t)(dot - tag));
	text[strlen("sha256")] = ':';
	if (!digest_valid(str_c(text)))
		return false;
	struct err *e = digest_parse(str_c(text), subject);
	err_ignore(e, "it was found valid just before");
	return !e;
}
