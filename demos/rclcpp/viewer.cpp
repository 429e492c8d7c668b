// Looks at images where they are handed to it: with domain:=cuda:0 on the GPU, by kernels. Ends when it has seen `count`.
//
// ROS_DISABLE_LOANED_MESSAGES=0 ros2 run rmw_hazcat_rs viewer --ros-args -p domain:=sim:0

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

#include "device.h"
#include "rclcpp/rclcpp.hpp"
#include "rmw_hazcat_rs/memory_domain.hpp"
#include "rmw_hazcat_rs/msg/image.hpp"

using rmw_hazcat_rs::msg::Image;

class Viewer : public rclcpp::Node
{
public:
  Viewer()
  : Node("viewer"),
    domain_(declare_parameter("domain", "host")),
    count_(declare_parameter("count", 0)),
    device_(device_open(domain_.c_str()), device_close),
    host_(device_open("host"), device_close)
  {
    if (nullptr == device_ || nullptr == host_) {
      throw std::runtime_error("no device for memory domain " + domain_);
    }
    rclcpp::SubscriptionOptions options;
    if (domain_ != "host") {
      options.rmw_implementation_payload =
        rmw_hazcat_rs::subscription_in(domain_, device_stream(device_.get()));
    }
    // A reference is no more than an address, and may be one of the device.
    subscription_ = create_subscription<Image>(
      "image", rclcpp::QoS(100), [this](const Image & image) {look(image);}, options);
  }

  int wrong() const {return wrong_;}

private:
  void look(const Image & image)
  {
    // On the host after all, where rclcpp takes no loaned messages (without ROS_DISABLE_LOANED_MESSAGES=0).
    const std::string where = rmw_hazcat_rs::domain_of(&image);
    device_t * device = where == "host" ? host_.get() : device_.get();
    const auto * bytes = reinterpret_cast<const unsigned char *>(&image);
    uint64_t number = 0;
    int64_t wrong = -1;
    if (device_read(device, bytes, &number, sizeof(number))) {
      wrong = device_wrong_pixels(device, bytes + offsetof(Image, data), sizeof(Image::data), number);
    }
    RCLCPP_INFO(
      get_logger(), "image %lu: seen in %s, %s", static_cast<unsigned long>(number), where.c_str(),
      wrong == 0 ? "right" : "WRONG");
    wrong_ += wrong != 0;
    if (++seen_ == count_) {
      rclcpp::shutdown();
    }
  }

  const std::string domain_;
  const int64_t count_;
  int64_t seen_ = 0;
  int wrong_ = 0;
  std::unique_ptr<device_t, void (*)(device_t *)> device_, host_;
  rclcpp::Subscription<Image>::SharedPtr subscription_;
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  auto viewer = std::make_shared<Viewer>();
  rclcpp::spin(viewer);
  rclcpp::shutdown();
  return viewer->wrong() == 0 ? 0 : 1;
}
