/* SPDX-License-Identifier: Apache-2.0 */
/* index.json of a layout that others wrote, to which an image is added: twice is as once. */
#include "base/mem.h"
#include "oci/layout_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct str old, const struct vec *entries)
{
	AUTO_BUF struct buf once = {0}, twice = {0};
	struct err *e = layout_index_add(old, entries, &once);
	if (e) {
		err_free(e);
		return;
	}
	e = layout_index_add(buf_str(&once), entries, &twice);
	if (e || !str_eq(buf_str(&once), buf_str(&twice)))
		abort();
}

/* The first line is the name of the image, the rest index.json. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), name;
	if (!str_split(&rest, '\n', &name))
		return 0;
	AUTO_FREE char *text = mem_strndup(name.ptr, name.len);
	AUTO_FREE char *annotations =
		layout_ref_name_valid(text) ? mem_printf("{\"" ANNOTATION_REF_NAME "\":\"%s\"}", text) : NULL;
	struct descriptor d = {.size = 3, .media_type = MEDIA_OCI_MANIFEST, .annotations = annotations};
	digest_of("abc", 3, &d.digest);
	struct vec entries = VEC_OF(struct descriptor);
	vec_push_copy(&entries, &d);
	add(rest, &entries);
	vec_fini(&entries);
	return 0;
}
