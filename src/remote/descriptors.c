/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/remote_internal.h"

#include <string.h>

void descriptors_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		descriptor_fini(vec_at(v, i));
	vec_fini(v);
}

bool descriptors_have(const struct vec *v, const struct digest *d)
{
	for (size_t i = 0; i < v->len; i++)
		if (digest_eq(&((const struct descriptor *)vec_at(v, i))->digest, d))
			return true;
	return false;
}

void descriptors_add(struct vec *v, const struct descriptor *d)
{
	if (!descriptors_have(v, &d->digest))
		descriptor_copy(d, vec_push(v));
}

void descriptors_add_brief(struct vec *v, const struct descriptor *d)
{
	if (descriptors_have(v, &d->digest))
		return;
	struct descriptor *to = vec_push(v);
	*to = (struct descriptor){.digest = d->digest, .size = d->size};
	memcpy(to->media_type, d->media_type, sizeof(to->media_type));
	strvec_push_all(&to->urls, strvec_list(&d->urls));
}
