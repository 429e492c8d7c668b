/// \file
/// Which memory a publisher or subscription of rclcpp prefers, where the middleware is rmw_hazcat_rs:
///
///     rclcpp::PublisherOptions options;
///     options.rmw_implementation_payload = rmw_hazcat_rs::publisher_in("cuda:0");
///     auto publisher = node->create_publisher<Image>("image", 10, options);
///     auto loan = publisher->borrow_loaned_message();  // &loan.get() is an address of the device: hand it to a kernel
///     publisher->publish(std::move(loan));
///
/// A subscription's callbacks get messages on loan only where the environment has ROS_DISABLE_LOANED_MESSAGES=0, and should take
/// `const Image &` or `std::shared_ptr<const Image>`: for other signatures rclcpp copies the message, as host code. What the
/// callback has got, `domain_of` says.
///
/// Over another middleware, a payload does nothing, and `domain_of` answers "host".
#ifndef RMW_HAZCAT_RS__MEMORY_DOMAIN_HPP_
#define RMW_HAZCAT_RS__MEMORY_DOMAIN_HPP_

#include <cstring>
#include <memory>
#include <string>

#include "rclcpp/detail/rmw_implementation_specific_publisher_payload.hpp"
#include "rclcpp/detail/rmw_implementation_specific_subscription_payload.hpp"
#include "rmw/rmw.h"
#include "rmw_hazcat_rs/memory_domain.h"

namespace rmw_hazcat_rs
{

namespace detail
{

inline rmw_hazcat_rs_memory_domain_t make(const std::string & name, void * stream)
{
  auto domain = rmw_hazcat_rs_memory_domain(name.c_str());
  domain.stream = stream;
  return domain;
}

/// What a payload points to is only for rmw_hazcat_rs; rclcpp hands it to whatever middleware there is.
inline bool is_running()
{
  const char * identifier = rmw_get_implementation_identifier();
  return nullptr != identifier && 0 == std::strcmp(identifier, "rmw_hazcat_rs");
}

}  // namespace detail

/// A publisher's preference.
class PublisherPayload : public rclcpp::detail::RMWImplementationSpecificPublisherPayload
{
public:
  explicit PublisherPayload(const std::string & name, void * stream = nullptr)
  : domain_(detail::make(name, stream)) {}

  const char * get_implementation_identifier() const override {return "rmw_hazcat_rs";}

  void modify_rmw_publisher_options(rmw_publisher_options_t & options) const override
  {
    if (detail::is_running()) {
      options.rmw_specific_publisher_payload = const_cast<rmw_hazcat_rs_memory_domain_t *>(&domain_);
    }
  }

private:
  rmw_hazcat_rs_memory_domain_t domain_;
};

/// A subscription's preference.
class SubscriptionPayload : public rclcpp::detail::RMWImplementationSpecificSubscriptionPayload
{
public:
  explicit SubscriptionPayload(const std::string & name, void * stream = nullptr)
  : domain_(detail::make(name, stream)) {}

  const char * get_implementation_identifier() const override {return "rmw_hazcat_rs";}

  void modify_rmw_subscription_options(rmw_subscription_options_t & options) const override
  {
    if (detail::is_running()) {
      options.rmw_specific_subscription_payload = const_cast<rmw_hazcat_rs_memory_domain_t *>(&domain_);
    }
  }

private:
  rmw_hazcat_rs_memory_domain_t domain_;
};

/// For rclcpp::PublisherOptions::rmw_implementation_payload. An empty name: whatever the configuration says. `stream` fills the
/// messages that are published, see memory_domain.h.
inline std::shared_ptr<PublisherPayload> publisher_in(const std::string & name, void * stream = nullptr)
{
  return std::make_shared<PublisherPayload>(name, stream);
}

/// For rclcpp::SubscriptionOptions::rmw_implementation_payload. `stream` uses the messages that are taken.
inline std::shared_ptr<SubscriptionPayload> subscription_in(const std::string & name, void * stream = nullptr)
{
  return std::make_shared<SubscriptionPayload>(name, stream);
}

/// The memory domain in which a message on loan lies; "host" for every other message.
inline std::string domain_of(const void * message)
{
  char name[RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES];
  rmw_hazcat_rs_memory_domain_of(message, name);
  return name;
}

}  // namespace rmw_hazcat_rs

#endif  // RMW_HAZCAT_RS__MEMORY_DOMAIN_HPP_
