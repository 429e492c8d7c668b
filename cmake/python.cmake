# Chooses the Python that ament and rosidl run in.
#
# They need catkin_pkg and em, which the system's Python has and a pyenv or virtual environment that comes first in
# PATH usually has not. The first of `python3` and `/usr/bin/python3` that can import both is taken, unless
# -DPython3_EXECUTABLE decides.
if(NOT Python3_EXECUTABLE)
  find_program(_hazcat_python3 python3)
  mark_as_advanced(_hazcat_python3)
  foreach(_candidate IN ITEMS "${_hazcat_python3}" /usr/bin/python3)
    execute_process(
      COMMAND "${_candidate}" -c "import catkin_pkg, em"
      RESULT_VARIABLE _result OUTPUT_QUIET ERROR_QUIET)
    if(_result EQUAL 0)
      set(Python3_EXECUTABLE "${_candidate}" CACHE FILEPATH "Python for ament and rosidl")
      break()
    endif()
  endforeach()
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)
# What older packages call it.
set(PYTHON_EXECUTABLE "${Python3_EXECUTABLE}" CACHE FILEPATH "Python for ament and rosidl")
message(STATUS "Python: ${Python3_EXECUTABLE}")
