// Publishes images that are painted, and turned into their negative, in the memory of the publisher: with domain:=cuda:0, by
// kernels on the GPU, and no pixel ever passes through the host. Publishing does not wait for them.
//
// ros2 run rmw_hazcat_rs camera --ros-args -p domain:=sim:0

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "device.h"
#include "rclcpp/rclcpp.hpp"
#include "rmw_hazcat_rs/memory_domain.hpp"
#include "rmw_hazcat_rs/msg/image.hpp"

using rmw_hazcat_rs::msg::Image;

class Camera : public rclcpp::Node
{
public:
  Camera()
  : Node("camera"),
    domain_(declare_parameter("domain", "host")),
    count_(declare_parameter("count", 0)),
    wait_for_(declare_parameter("wait_for", 1)),
    device_(device_open(domain_.c_str()), device_close)
  {
    if (nullptr == device_) {
      throw std::runtime_error("no device for memory domain " + domain_);
    }
    rclcpp::PublisherOptions options;
    options.rmw_implementation_payload = rmw_hazcat_rs::publisher_in(domain_, device_stream(device_.get()));
    publisher_ = create_publisher<Image>("image", rclcpp::QoS(100), options);
    const std::chrono::duration<double> period(1.0 / declare_parameter("rate", 30.0));
    timer_ = create_wall_timer(period, [this] {tick();});
  }

private:
  void tick()
  {
    if (published_ == 0 && publisher_->get_subscription_count() < static_cast<std::size_t>(wait_for_)) {
      return;
    }
    if (count_ > 0 && static_cast<int64_t>(published_) == count_) {
      // Who has not taken everything still finds it: it goes when the last subscription has passed it.
      rclcpp::shutdown();
      return;
    }
    auto loan = publisher_->borrow_loaned_message();
    // Only addresses: what is behind them belongs to the device.
    auto * image = reinterpret_cast<unsigned char *>(&loan.get());
    unsigned char * pixels = image + offsetof(Image, data);
    const std::string where = rmw_hazcat_rs::domain_of(image);
    const Head head{++published_, 640, 480};
    if (!device_write(device_.get(), image, &head, sizeof(head)) ||
      !device_paint(device_.get(), pixels, sizeof(Image::data), head.number) ||
      !device_invert(device_.get(), pixels, sizeof(Image::data)))
    {
      throw std::runtime_error("the device does not work");
    }
    publisher_->publish(std::move(loan));
    RCLCPP_INFO(get_logger(), "image %lu: made in %s", static_cast<unsigned long>(head.number), where.c_str());
  }

  // The fields before the pixels.
  struct Head
  {
    uint64_t number;
    uint32_t width, height;
  };
  static_assert(sizeof(Head) == offsetof(Image, data));

  const std::string domain_;
  const int64_t count_, wait_for_;
  uint64_t published_ = 0;
  std::unique_ptr<device_t, void (*)(device_t *)> device_;
  rclcpp::Publisher<Image>::SharedPtr publisher_;
  rclcpp::TimerBase::SharedPtr timer_;
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<Camera>());
  rclcpp::shutdown();
}
