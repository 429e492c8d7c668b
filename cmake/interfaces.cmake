# Generates the messages of the demos and, with BUILD_TESTING, those of the tests, as rmw_hazcat_rs/msg/<Name>.
#
# HAZCAT_INTERFACES is on wherever they are used: with BUILD_TESTING, and always on a bare machine, whose demos are made of
# them. With ROS 2 all its generators run (a message works with rclcpp, rclpy and the command line tools); Debian has
# the C and C++ structs and the introspection type support.
set(_default OFF)
if(BUILD_TESTING OR NOT HAZCAT_ROS)
  set(_default ON)
endif()
option(HAZCAT_INTERFACES "generate the demo and test messages, build the demo programs" ${_default})
if(NOT HAZCAT_INTERFACES)
  return()
endif()

if(HAZCAT_ROS)
  find_package(rosidl_default_generators REQUIRED)
  ament_export_dependencies(rosidl_default_runtime)
else()
  find_package(rosidl_cmake REQUIRED)
  find_package(rosidl_generator_c REQUIRED)
  find_package(rosidl_generator_cpp REQUIRED)
endif()

# <absolute base folder>:<path below it>, as rosidl takes files from other folders
set(_files "")
set(_bases demos/interfaces)
if(BUILD_TESTING)
  list(APPEND _bases test/interfaces)
endif()
foreach(_base IN LISTS _bases)
  file(GLOB _found CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/${_base}
    ${CMAKE_CURRENT_SOURCE_DIR}/${_base}/msg/*.msg ${CMAKE_CURRENT_SOURCE_DIR}/${_base}/srv/*.srv)
  foreach(_file IN LISTS _found)
    list(APPEND _files "${CMAKE_CURRENT_SOURCE_DIR}/${_base}:${_file}")
  endforeach()
endforeach()
rosidl_generate_interfaces(${PROJECT_NAME} ${_files})
