/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/place.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

void place_fini(struct place *p)
{
	reference_fini(&p->ref);
	mem_freep(&p->path);
	mem_freep(&p->name);
}

/* The path ends at the first colon, as in skopeo, podman and buildah; "@sha256" at its end begins a digest.
 */
static struct err *layout_parse(const char *text, struct place *out)
{
	const char *colon = strchr(text, ':');
	struct str path = colon ? str_n(text, (size_t)(colon - text)) : str_c(text);
	ptrdiff_t at = str_rindex(path, '@');

	if (colon && at >= 0 && (str_ends(path, "@sha256") || str_ends(path, "@sha512"))) {
		TRY(digest_parse(str_c(text + at + 1), &out->digest));
		path.len = (size_t)at;
	} else if (colon && colon[1])
		out->name = mem_strdup(colon + 1);
	out->path = mem_strndup(path.ptr, path.len);
	return NULL;
}

static struct err *file_parse(const char *text, const char *rest, struct place *out)
{
	if (out->format == IMAGE_OCI_LAYOUT)
		TRY(layout_parse(rest, out));
	else
		out->path = mem_strdup(rest);
	return *out->path ? NULL : err_new(ERR_USAGE, "%s needs a path", text);
}

struct err *place_parse(const char *text, struct place *out)
{
	static const struct {
		const char *prefix;
		enum place_kind kind;
		enum image_format format;
	} forms[] = {
		{"docker://", PLACE_REGISTRY, 0},
		{"store:", PLACE_STORE, 0},
		{"oci:", PLACE_FILE, IMAGE_OCI_LAYOUT},
		{"oci-archive:", PLACE_FILE, IMAGE_OCI_ARCHIVE},
		{"docker-archive:", PLACE_FILE, IMAGE_DOCKER_ARCHIVE},
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (!cstr_starts(text, forms[i].prefix))
			continue;
		const char *rest = text + strlen(forms[i].prefix);
		out->kind = forms[i].kind;
		out->format = forms[i].format;
		if (out->kind != PLACE_FILE)
			return reference_parse(rest, true, &out->ref);
		return file_parse(text, rest, out);
	}
	out->kind = PLACE_ANY;
	return reference_parse(text, true, &out->ref);
}
