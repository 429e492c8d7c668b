// Optional features that an implementation may be asked about.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__FEATURES_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__FEATURES_H_

#include <stdbool.h>

#ifdef __cplusplus
extern "C"
{
#endif

typedef enum rmw_feature_e
{
  RMW_FEATURE_MESSAGE_INFO_PUBLICATION_SEQUENCE_NUMBER = 0,
  RMW_FEATURE_MESSAGE_INFO_RECEPTION_SEQUENCE_NUMBER = 1
} rmw_feature_t;

bool rmw_feature_supported(rmw_feature_t feature);

#ifdef __cplusplus
}
#endif

#endif
