// One process in which everything that an executor can be woken by happens: timers, topics, services, parameters, actions'
// ingredients, and QoS events. Ends with 0 once all of it did.
//
// executors (single|multi|events)

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "example_interfaces/srv/add_two_ints.hpp"
#include "rclcpp/experimental/executors/events_executor/events_executor.hpp"
#include "rclcpp/rclcpp.hpp"
#include "std_msgs/msg/string.hpp"

using namespace std::chrono_literals;
using example_interfaces::srv::AddTwoInts;
using std_msgs::msg::String;

namespace
{
std::unique_ptr<rclcpp::Executor> make_executor(const std::string & name)
{
  if (name == "multi") {
    return std::make_unique<rclcpp::executors::MultiThreadedExecutor>(rclcpp::ExecutorOptions(), 4);
  }
  if (name == "events") {
    return std::make_unique<rclcpp::experimental::executors::EventsExecutor>();
  }
  return std::make_unique<rclcpp::executors::SingleThreadedExecutor>();
}

struct Counts
{
  std::atomic<int> messages{0}, answers{0}, wrong_answers{0}, reentrant{0};
  std::atomic<int> offered{0}, requested{0}, lost{0}, alive{0}, not_alive{0}, matched{0}, incompatible{0}, messages_lost{0};
};
}  // namespace

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  const std::string name = argc > 1 ? argv[1] : "single";
  auto executor = make_executor(name);
  auto near = std::make_shared<rclcpp::Node>("near");
  auto far = std::make_shared<rclcpp::Node>("far");
  Counts counts;

  // A topic that is quiet after its first messages, with a deadline and a manual lease.
  auto qos = rclcpp::QoS(100).deadline(400ms).liveliness(rclcpp::LivelinessPolicy::ManualByTopic)
    .liveliness_lease_duration(400ms);
  rclcpp::PublisherOptions offered;
  offered.event_callbacks.deadline_callback = [&](auto & status) {counts.offered += status.total_count_change;};
  offered.event_callbacks.liveliness_callback = [&](auto & status) {counts.lost += status.total_count_change;};
  offered.event_callbacks.matched_callback = [&](auto & status) {counts.matched += status.total_count_change;};
  offered.event_callbacks.incompatible_qos_callback =
    [&](auto & status) {counts.incompatible += status.total_count_change;};
  rclcpp::SubscriptionOptions requested;
  requested.event_callbacks.deadline_callback = [&](auto & status) {counts.requested += status.total_count_change;};
  requested.event_callbacks.liveliness_callback = [&](auto & status) {
      counts.alive += status.alive_count_change;
      counts.not_alive += status.not_alive_count_change;
    };
  auto publisher = near->create_publisher<String>("/executors/quiet", qos, offered);
  auto subscription = far->create_subscription<String>(
    "/executors/quiet", qos, [&](const String &) {++counts.messages;}, requested);
  auto strict = far->create_subscription<String>(
    "/executors/quiet", rclcpp::QoS(10).transient_local(), [&](const String &) {std::abort();});

  // A subscription that nobody serves fast enough: the messages come in one go.
  rclcpp::SubscriptionOptions shallow;
  shallow.event_callbacks.message_lost_callback =
    [&](auto & status) {counts.messages_lost += static_cast<int>(status.total_count_change);};
  auto flooded = far->create_subscription<String>("/executors/flood", rclcpp::QoS(2), [](const String &) {}, shallow);
  auto flood = near->create_publisher<String>("/executors/flood", 10);

  // A server; a client that is called from within a callback of another group, which waits for the answer where there
  // are several threads.
  // (A node keeps no callback group alive.)
  auto server_group = far->create_callback_group(rclcpp::CallbackGroupType::Reentrant);
  auto client_group = near->create_callback_group(rclcpp::CallbackGroupType::Reentrant);
  auto listener_group = far->create_callback_group(rclcpp::CallbackGroupType::Reentrant);
  auto server = far->create_service<AddTwoInts>(
    "/executors/add", [](AddTwoInts::Request::SharedPtr request, AddTwoInts::Response::SharedPtr response) {
      response->sum = request->a + request->b;
    }, rclcpp::ServicesQoS(), server_group);
  auto client = near->create_client<AddTwoInts>("/executors/add", rclcpp::ServicesQoS(), client_group);
  auto caller_group = near->create_callback_group(rclcpp::CallbackGroupType::MutuallyExclusive);
  int round = 0;
  auto timer = near->create_wall_timer(
    5ms, [&] {
      ++round;
      if (round <= 20) {
        publisher->publish(String());
      }
      if (round % 20 == 0) {
        for (int i = 0; i < 5; ++i) {
          flood->publish(String());
        }
      }
      auto request = std::make_shared<AddTwoInts::Request>();
      request->a = round;
      request->b = 1;
      auto check = [&, expected = round + 1](rclcpp::Client<AddTwoInts>::SharedFuture answer) {
        ++(answer.get()->sum == expected ? counts.answers : counts.wrong_answers);
      };
      auto sent = client->async_send_request(request, check);
      if (name == "multi" && sent.wait_for(10s) == std::future_status::ready) {
        ++counts.reentrant;
      }
    }, caller_group);

  // Another thread of the application publishes on its own.
  std::atomic<bool> stop{false};
  std::atomic<int> heard{0};
  auto busy = near->create_publisher<String>("/executors/busy", 1000);
  auto listener = far->create_subscription<String>(
    "/executors/busy", rclcpp::QoS(1000), [&](const String &) {++heard;},
    [&] {
      rclcpp::SubscriptionOptions options;
      options.callback_group = listener_group;
      return options;
    }());
  int sent = 0;
  std::thread talker([&] {
      while (!stop && sent < 500) {
        busy->publish(String());
        ++sent;
        std::this_thread::sleep_for(1ms);
      }
    });

  executor->add_node(near);
  executor->add_node(far);
  std::thread spinner([&] {executor->spin();});
  auto is_complete = [&] {
      return counts.messages == 20 && counts.answers >= 50 && (name != "multi" || counts.reentrant >= 50) &&
             counts.offered >= 2 && counts.requested >= 2 && counts.lost >= 1 && counts.alive == 0 &&
             counts.not_alive == 1 && counts.matched == 1 && counts.incompatible == 1 &&
             counts.messages_lost >= 1 && heard == 500;
    };
  const auto watchdog = std::chrono::steady_clock::now() + 60s;
  while (!is_complete() && std::chrono::steady_clock::now() < watchdog) {
    std::this_thread::sleep_for(10ms);
  }
  const bool complete = is_complete() && counts.wrong_answers == 0;
  // The executor is cancelled and the nodes go while messages are still coming.
  executor->cancel();
  spinner.join();
  stop = true;
  talker.join();
  std::cout << "messages " << counts.messages << " answers " << counts.answers << " wrong " << counts.wrong_answers <<
    " reentrant " << counts.reentrant << " heard " << heard << "\noffered deadline " << counts.offered <<
    " requested deadline " << counts.requested << " liveliness lost " << counts.lost << " alive " << counts.alive <<
    " not alive " << counts.not_alive << " matched " << counts.matched << " incompatible " << counts.incompatible <<
    " messages lost " << counts.messages_lost << std::endl;
  executor.reset();
  rclcpp::shutdown();
  return complete ? 0 : 1;
}
